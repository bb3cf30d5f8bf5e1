# The results of the shards (fault_run.c says what stands in a line) as a table, and the verdict.
# Needs -v tokens=N, how many wrong signatures there should have been; -v lost=N, how many shards did
# not end.
BEGIN { FS = "\t" }

function larger(a, b) { return a + 0 > b + 0 ? a + 0 : b + 0 }
function key() { return $2 " " $3 }

{
    if (!(key() in cases)) order[++classes] = key()
    cases[key()]++
    failed[key()] += $1 != "passed"
    faults[key()] += $8
    refusals[key()] += $10
    issued[key()] += $11
    outage[key()] = larger(outage[key()], $9)
    slowest[key()] = larger(slowest[key()], $12)

    all++
    bad += $1 != "passed"
    longest = larger(longest, $9)
    if ($14 == 1) longest_loss = larger(longest_loss, $9)
    pin_tries = larger(pin_tries, $13)
    burnt += $15 ~ /^burnt:/
    bad_tokens += $15 ~ /^(bad|twice):/
    if ($3 == "wrong signatures") { flipped += $8; released += $15 ~ /^bad:/ }
    if ($1 != "passed") findings = findings "FAILED " $2 " " $3 ", " $4 " at a " $5 ", " $6 ", " $7 ": " $15 "\n"
}

END {
    printf "%-32s %6s %7s %7s %8s %7s %10s %10s\n", "class", "cases", "failed", "faults", "refusals",
        "tokens", "outage ms", "answer ms"
    for (i = 1; i <= classes; i++) {
        k = order[i]
        printf "%-32s %6d %7d %7d %8d %7d %10d %10d\n", k, cases[k], failed[k], faults[k], refusals[k],
            issued[k], outage[k], slowest[k]
    }
    printf "\n%s", findings
    printf "cases %d, longest outage %d ms (session/login loss %d ms), codes burnt %d, bad tokens %d, " \
        "flipped signatures released %d of %d, PIN tries per refusal %d\n",
        all, longest, longest_loss, burnt, bad_tokens, released, flipped, pin_tries
    printf "%d passed, %d failed, 0 skipped\n", all - bad, bad + lost
    exit all == 0 || bad + lost > 0
}
