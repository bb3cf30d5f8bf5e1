# Reads "case metric [connections or sessions] value" lines, one per round, and prints medians: a
# table for a person, or one JSON object (-v json=1). -v rounds=3 cores=2 place="ext4" copy=yes.

function median(key,    n, i, j, value, sorted) {
    n = count[key]
    for (i = 1; i <= n; i++) {
        value = values[key, i]
        for (j = i - 1; j >= 1 && sorted[j] > value; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = value
    }
    return n == 0 ? 0 : n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function of(name, metric, at) { return median(name SUBSEP metric SUBSEP at) }

function best_raw(name, metric,    best, i) {
    for (i = 1; i <= 3; i++) {
        if (of(name, metric, sessions[i]) > best) best = of(name, metric, sessions[i])
    }
    return best + 0
}

function verdict(is_met) { return is_met ? "met" : "missed" }

function truth(is_true) { return is_true ? "true" : "false" }

function by_sessions(name, metric,    i, text) {
    for (i = 1; i <= 3; i++) {
        text = text sprintf("%8.0f at %-2d", of(name, metric, sessions[i]), sessions[i])
    }
    return text " sessions"
}

function print_case(name, title,    i, at) {
    printf "\n%s\n", title
    printf "  raw C_Sign/s         %s\n", by_sessions(name, "raw")
    if (best_raw(name, "raw_copy") > 0) {
        printf "  from a session copy  %s (ratio to the best of these: %.2f)\n",
            by_sessions(name, "raw_copy"), of(name, "tokens_per_s", 64) / best_raw(name, "raw_copy")
    }
    printf "  connections  tokens/s   ratio   p50 ms   p99 ms   CPU us/token: issuerd  signer  load\n"
    for (i = 1; i <= 3; i++) {
        at = connections[i]
        printf "  %11d  %8.0f  %6.2f  %7.2f  %7.2f  %22.0f  %6.0f  %4.0f\n", at,
            of(name, "tokens_per_s", at), of(name, "tokens_per_s", at) / reference[name],
            of(name, "p50_ms", at), of(name, "p99_ms", at), of(name, "issuerd_cpu_us", at),
            of(name, "signer_cpu_us", at), of(name, "load_cpu_us", at)
    }
    printf "  peak memory: issuerd %.1f MB, issuerd-signer %.1f MB\n",
        of(name, "issuerd_mb", 0), of(name, "signer_mb", 0)
    printf "  ratio at 64 connections %.2f (of %s %.0f), target >= %.2f: %s\n", ratio[name],
        base[name], reference[name], target[name], verdict(ratio[name] >= target[name])
    printf "  issuerd %.1f MB, target < %d MB: %s\n", of(name, "issuerd_mb", 0), memory_target_mb,
        verdict(of(name, "issuerd_mb", 0) < memory_target_mb)
}

function print_validate(    per_s) {
    per_s = of("validate", "validations_per_s", 64)
    printf "\nvalidate: ES256 presentations, did:jwk, 64 connections\n"
    printf "  %.0f/s, p50 %.2f ms, p99 %.2f ms; target >= %d/s: %s\n", per_s,
        of("validate", "p50_ms", 64), of("validate", "p99_ms", 64), validate_target,
        verdict(per_s >= validate_target)
}

function print_stores(    ratio) {
    ratio = of("postgresql", "tokens_per_s", 64) / of("sqlite", "tokens_per_s", 64)
    printf "\nstores: ES256, 64 connections; issuerd with either store anew in each round\n"
    printf "  SQLite      %6.0f tokens/s, p50 %.2f ms, p99 %.2f ms\n",
        of("sqlite", "tokens_per_s", 64), of("sqlite", "p50_ms", 64), of("sqlite", "p99_ms", 64)
    printf "  PostgreSQL  %6.0f tokens/s, p50 %.2f ms, p99 %.2f ms; ratio %.2f, target >= %.2f: %s\n",
        of("postgresql", "tokens_per_s", 64), of("postgresql", "p50_ms", 64),
        of("postgresql", "p99_ms", 64), ratio, store_target, verdict(ratio >= store_target)
}

function json_by(name, metric, points,    i, text) {
    for (i = 1; i <= 3; i++) {
        text = text (i > 1 ? ", " : "") sprintf("\"%d\": %.3f", points[i],
            of(name, metric, points[i]))
    }
    return "{" text "}"
}

function print_json_case(name) {
    printf "\"%s\": {\"raw_per_s\": %s, \"raw_session_copy_per_s\": %s, \"tokens_per_s\": %s, ",
        name, json_by(name, "raw", sessions),
        (best_raw(name, "raw_copy") > 0 ? json_by(name, "raw_copy", sessions) : "null"),
        json_by(name, "tokens_per_s", connections)
    printf "\"p50_ms\": %s, \"p99_ms\": %s, \"issuerd_cpu_us\": %s, \"signer_cpu_us\": %s, ",
        json_by(name, "p50_ms", connections), json_by(name, "p99_ms", connections),
        json_by(name, "issuerd_cpu_us", connections), json_by(name, "signer_cpu_us", connections)
    printf "\"issuerd_mb\": %.1f, \"signer_mb\": %.1f, \"reference_per_s\": %.1f, ",
        of(name, "issuerd_mb", 0), of(name, "signer_mb", 0), reference[name]
    printf "\"ratio\": %.3f, \"target\": %.2f, \"ratio_met\": %s, \"memory_met\": %s}", ratio[name],
        target[name], truth(ratio[name] >= target[name]),
        truth(of(name, "issuerd_mb", 0) < memory_target_mb)
}

BEGIN {
    split("1 2 16", sessions)
    split("1 16 64", connections)
    split("ES256 RS256 slow", names)
    memory_target_mb = 40
    validate_target = 3000
    store_target = 0.60
    target["ES256"] = 0.35; target["RS256"] = 0.65; target["slow"] = 0.90
    title["ES256"] = "ES256, SoftHSM2"
    title["RS256"] = "RS256 (RSA-2048), SoftHSM2"
    title["slow"] = "ES256, slow HSM: 5 ms more per C_Sign, 16 sessions"
}

{ key = $1 SUBSEP $2 SUBSEP $3; values[key, ++count[key]] = $4 + 0 }

END {
    for (i = 1; i <= 3; i++) {
        name = names[i]
        base[name] = name == "slow" ? "16 sessions / 5 ms =" : "best raw"
        reference[name] = name == "slow" ? 16 / 0.005 : best_raw(name, "raw")
        ratio[name] = of(name, "tokens_per_s", 64) / reference[name]
    }
    if (json) {
        printf "{\"cores\": %d, \"rounds\": %d, \"store_on\": \"%s\", \"session_copy\": \"%s\", ",
            cores, rounds, place, copy
        for (i = 1; i <= 3; i++) {
            print_json_case(names[i])
            printf ", "
        }
        printf "\"validations_per_s\": %.1f, ", of("validate", "validations_per_s", 64)
        printf "\"sqlite_tokens_per_s\": %.1f, \"postgresql_tokens_per_s\": %.1f}\n",
            of("sqlite", "tokens_per_s", 64), of("postgresql", "tokens_per_s", 64)
    } else {
        printf "%d cores; store on %s; issuerd signs from session copies in SoftHSM2: %s; ",
            cores, place, copy
        printf "%d round(s), medians\n", rounds
        for (i = 1; i <= 3; i++) print_case(names[i], title[names[i]])
        print_validate()
        print_stores()
    }
}
