#!/usr/bin/env python3
"""page_test.py ISSUERD [DIRECTORY]: the operator's page, in a headless Chromium, against a real server.

It shows what the server does as it does it, and each bad state with its next step; its policy holds, and
nothing is said on its console; it can be read and used, light and dark, narrow and wide, by keyboard. With
a DIRECTORY it leaves screenshots there.
"""
import pathlib
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from browser import Browser  # noqa: E402
from server import Server  # noqa: E402

WIDTHS = 360, 800, 1400
TOKENS = 5

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)
    return holds


# ---- in the page ----

HEADLINE = 'document.getElementById("headline").textContent'

# Text whose contrast with its ground is under what WCAG 2.2 1.4.3 asks for.
FAINT_TEXT = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || !e.getClientRects().length || e.closest("script, .skip")) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
    const large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    const ratio = (a + .05) / (b + .05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${text.slice(0, 40)} (${ratio.toFixed(2)})`);
  }
  return faint;
})()"""

# What a screen reader or a keyboard would stumble over.
STRUCTURE = """(() => {
  const wrong = [];
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((h) => +h.tagName[1]);
  if (levels.filter((n) => n === 1).length !== 1) wrong.push("not one h1");
  levels.forEach((n, i) => { if (i && n > levels[i - 1] + 1) wrong.push("a level of headings is left out"); });
  for (const th of document.querySelectorAll("th")) if (!th.scope) wrong.push("a th without scope");
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.getAttribute("role") === "img" ? !svg.getAttribute("aria-label") : svg.getAttribute("aria-hidden") !== "true") {
      wrong.push("an svg without words");
    }
  }
  for (const section of document.querySelectorAll("section, [role=region]")) {
    const title = document.getElementById(section.getAttribute("aria-labelledby"));
    if (!title) wrong.push("a section without a name");
  }
  for (const box of document.querySelectorAll(".scroll")) if (box.tabIndex !== 0) wrong.push("scrolls by pointer alone");
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  return wrong;
})()"""


def total_of(result):
    return (f'[...document.querySelectorAll("#results tr")].find((tr) => tr.cells[0].textContent === "{result}")'
            '.cells[3].textContent')


def check_quiet(browser, when):
    for said in browser.said:
        check(False, f"{when}: the browser says {said}")
    browser.said.clear()


def check_looks(browser, state, directory):
    """However it is looked at."""
    for width in WIDTHS:
        for dark in False, True:
            where = f"{state}-{width}-{'dark' if dark else 'light'}"
            browser.look(width, dark=dark)
            time.sleep(0.3)
            check(browser.run("document.documentElement.scrollWidth <= innerWidth"),
                  f"{where}: wider than the window")
            for faint in browser.run(FAINT_TEXT):
                check(False, f"{where}: faint: {faint}")
            if directory:
                browser.screenshot(f"{directory}/{where}.png")
    for wrong in browser.run(STRUCTURE):
        check(False, f"{state}: {wrong}")
    browser.look(1400)


# ---- the tests ----


def test_it_shows_exchanges_as_they_happen(server, browser):
    check(browser.wait(f'{HEADLINE} === "Issuing"'), "it does not come to say that it is issuing")
    codes = [server.make_code() for _ in range(TOKENS)]
    for code in codes:
        check(server.redeem(code) == 201, "no token")
    check(server.redeem(codes[0]) == 400, "a spent code is not refused")
    check(browser.wait(f'{total_of("issued")} === "{TOKENS}" && {total_of("spent code")} === "1"'),
          "tokens and refusals are not counted")
    check(browser.wait('document.querySelector("#chart .issued").getAttribute("d") !== ""'
                       ' && document.querySelector("#chart .refused").getAttribute("d") !== ""'),
          "the chart stays empty")
    check(browser.wait(r'/^\d+ s ago$/.test(document.getElementById("last-issued").textContent)'),
          "it does not say when the last token was issued")
    check(browser.wait(r'/ ms$/.test(document.getElementById("p99").textContent)'), "no latency")


def test_it_shows_signers_keys_ledger_and_store(browser):
    text = {name: browser.run(f'document.getElementById("{name}").innerText')
            for name in ("signers", "keys", "ledger", "store", "explanation")}
    check(re.search(r"main\s+tokens\s+up", text["signers"]), f"signers: {text['signers']}")
    check(re.search(r"audit\s+checkpoints\s+up", text["signers"]), f"signers: {text['signers']}")
    check(re.search(r"ES256\s+main\s+active", text["keys"]), f"keys: {text['keys']}")
    check(browser.run('document.querySelector("#keys rect.active").getAttribute("width") !== ""'),
          "no time line")
    check("node-1/1" in text["ledger"] and "appends" in text["ledger"], f"ledger: {text['ledger']}")
    check("sqlite" in text["store"], f"store: {text['store']}")
    check("https://issuer.example" in text["explanation"], f"explanation: {text['explanation']}")


def test_a_selection_stays(browser):
    browser.run('getSelection().selectAllChildren(document.querySelector("#keys th")); 0')
    time.sleep(2.5)
    check(browser.run("getSelection().toString()").strip() != "", "what was selected to be copied is gone")


def test_its_policy_holds(server, browser):
    _, headers, _ = server.ask("admin", "GET", "/")
    policy = headers["Content-Security-Policy"]
    check("default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy,
          f"policy: {policy}")
    check(headers["X-Content-Type-Options"] == "nosniff", "no nosniff")
    check(headers["Referrer-Policy"] == "no-referrer", "a referrer")
    check_quiet(browser, "after a while")
    browser.run("""(() => { const style = document.createElement("style"); style.textContent = "body { display: none }";
                   document.head.append(style); })()""")
    check(browser.run('getComputedStyle(document.body).display') != "none", "a foreign style is taken")
    browser.run('(() => { const script = document.createElement("div"); try { script.innerHTML = "<b>x</b>";'
                ' window.wasSet = true; } catch { } })()')
    check(browser.run("window.wasSet") is None, "HTML may be set from text")
    check(browser.run('fetch("http://127.0.0.1:9/").then(() => "asked", () => "refused")') == "refused",
          "it may ask elsewhere")
    check(any("Content Security Policy" in said for said in browser.said), "no violation was told")
    browser.said.clear()
    status, _, _ = server.ask("public", "GET", "/")
    check(status == 404, "the public listener has the page, too")


def test_it_can_be_used_by_keyboard(browser):
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    browser.press("Tab")
    check(browser.run("document.activeElement.className") == "skip", "the skip link does not come first")
    check(browser.run("document.activeElement.getBoundingClientRect().left >= 0"), "the skip link stays hidden")
    check(browser.run('getComputedStyle(document.activeElement).outlineStyle') == "solid", "focus is not seen")
    browser.press("Enter")
    check(browser.wait('document.activeElement.id === "signers-title"', 3), "the skip link does not lead there")


def test_it_rests_while_nobody_looks(browser):
    asked = 'performance.getEntriesByName(location.origin + "/api/v1/status").length'
    browser.run('Object.defineProperty(document, "hidden", { value: true, configurable: true }); 0')
    time.sleep(2)
    before = browser.run(asked)
    time.sleep(2.5)
    check(browser.run(asked) == before, "it asks while it is hidden")
    browser.run('delete document.hidden; document.dispatchEvent(new Event("visibilitychange"))')
    check(browser.wait(f"{asked} >= {before} + 2", 5), "it does not ask again")


def test_a_signer_that_is_down_is_told_with_what_comes_next(server, browser, directory):
    key = server.directory / "main.pem"
    key.rename(server.directory / "away.pem")
    server.kill_signers()
    check(browser.wait(f'{HEADLINE} === "Not issuing"'), "it does not say that nothing is issued")
    told = browser.run('document.getElementById("problems").innerText')
    check("Signer main is down" in told and "Next:" in told and "Since " in told, f"problems: {told}")
    check(browser.run("document.title").startswith("Not issuing"), "the title does not say it")
    check(browser.wait('document.getElementById("explanation").textContent.startsWith("Since ")'),
          "it does not say since when")
    check(server.redeem(server.make_code()) == 503, "a token without a signer")
    check(browser.wait(f'{total_of("no signer")} === "1"'), "a failed exchange is not counted")
    check_looks(browser, "down", directory)
    (server.directory / "away.pem").rename(key)
    check(browser.wait(f'{HEADLINE} === "Issuing"'), "it does not come to say that it issues again")
    check(browser.run('document.getElementById("problems").children.length') == 0, "a problem stays")


def test_a_server_that_does_not_answer_is_told(server, browser, directory):
    server.stop()
    check(browser.wait(f'{HEADLINE}.startsWith("No answer since ")'), "it does not say that nobody answers")
    check("systemctl status issuerd" in browser.run('document.getElementById("explanation").textContent'),
          "it does not say what comes next")
    if directory:
        browser.screenshot(f"{directory}/silent.png")
    server.start()
    check(browser.wait(f'{HEADLINE} === "Issuing"'), "it does not come to say that the server answers again")
    browser.said.clear()  # of connections refused meanwhile


def main():
    program, directory = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as place, Server(program, place) as server, Browser(place) as browser:
        browser.look(1400)
        browser.open(f"http://127.0.0.1:{server.ports['admin']}/")
        test_it_shows_exchanges_as_they_happen(server, browser)
        test_it_shows_signers_keys_ledger_and_store(browser)
        test_a_selection_stays(browser)
        check_looks(browser, "good", directory)
        test_it_rests_while_nobody_looks(browser)
        test_it_can_be_used_by_keyboard(browser)
        test_its_policy_holds(server, browser)
        test_a_signer_that_is_down_is_told_with_what_comes_next(server, browser, directory)
        check_quiet(browser, "at the end")
        test_a_server_that_does_not_answer_is_told(server, browser, directory)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
