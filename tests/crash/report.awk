# The results of the parts (bed.h says what stands in a line) as a table, and the verdict. Needs
# -v lost=N, how many parts did not end.
BEGIN {
    FS = "\t"
    printf "%-11s %-26s %6s %9s %9s %7s %7s\n", "store", "part", "faults", "ready ms", "refusals",
        "tokens", "spent"
}

{
    printf "%-11s %-26s %6d %9s %9d %7d %7d%s\n", $2, $3, $4, $5 < 0 ? "-" : $5, $8, $6, $7,
        $1 == "passed" ? "" : "  " $1
    count[$1]++
    all += $4
    tokens += $6
    spent += $7
    if ($5 + 0 > ready) ready = $5 + 0
    if ($1 == "FAILED") findings = findings "FAILED " $2 ", " $3 ": " $9 "\n"
    if ($1 == "skipped") findings = findings "skipped " $2 ", " $3 ": " $9 "\n"
}

END {
    printf "\n%s", findings
    printf "%d kills and faults, %d tokens, %d codes found spent by who got no answer, " \
        "ready again after %d ms at most\n", all, tokens, spent, ready
    printf "%d passed, %d failed, %d skipped\n", count["passed"], count["FAILED"] + lost,
        count["skipped"]
    exit count["passed"] == 0 || count["FAILED"] + lost > 0
}
