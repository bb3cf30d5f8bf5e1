/*
 * The one error type. It carries what went wrong (code: it decides who must act, the HTTP status
 * and the number a client sees), what we were doing (message) and what the library underneath
 * said (cause).
 *
 * It lives on the caller's stack and never allocates. It never holds a secret: its text goes to
 * the log as it is.
 */
#pragma once

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum error_code {
    ERROR_NONE = 0,

    /* The client's doing: reaches the client. */
    ERROR_INVALID_REQUEST,    /* a body, field or header that does not hold to the contract */
    ERROR_INVALID_FRAMING,    /* an HTTP message that could be read in two ways (RFC 9112) */
    ERROR_CODE_UNKNOWN,       /* well-formed, and never issued or long gone */
    ERROR_CODE_EXPIRED,       /* issued, not redeemed in time */
    ERROR_CODE_SPENT,         /* already traded for a token */
    ERROR_UNAUTHORIZED,       /* no client secret, or a wrong one */
    ERROR_CLIENT_CERTIFICATE, /* none, or one that does not count, where one is asked for */
    ERROR_NOT_FOUND,          /* no such authorization request */
    ERROR_NO_ROUTE,           /* no such path */
    ERROR_METHOD_NOT_ALLOWED, /* a known path, another method */
    ERROR_CONFLICT,           /* an authorization request that is not open any more */
    ERROR_TIMEOUT,            /* head or body did not arrive in time */
    ERROR_TOO_LARGE,          /* body over its limit */
    ERROR_UNSUPPORTED_MEDIA,  /* not application/json */
    ERROR_HEAD_TOO_LARGE,     /* head over its limit */
    ERROR_RATE_LIMITED,       /* too many requests from one address */
    ERROR_PRESENTATION,       /* a presentation that does not prove what it should */
    ERROR_NOT_OPEN,           /* a request to validate that was validated, or tried too often */

    /* The operator's doing: a restart or a retry alone does not help. */
    ERROR_CONFIG,
    ERROR_KEY_NOT_FOUND,
    ERROR_KEY_POLICY,        /* the key is there, its attributes are not acceptable */
    ERROR_KEY_LOCKED,        /* PIN refused; never tried again until its source changes */
    ERROR_STORE_ROLLED_BACK, /* the store is older than what was committed to it */
    ERROR_LEDGER_STOPPED,    /* nothing is issued until the ledger is looked after */
    ERROR_CLOCK_UNTRUSTED,   /* nothing is issued or written by a clock that was set */

    /* The world's doing: trying again may help. */
    ERROR_OVERLOADED,
    ERROR_DEVICE_UNAVAILABLE,
    ERROR_STORE_UNAVAILABLE,
    ERROR_STORE_CONFLICT,       /* another transaction had precedence: run it again */
    ERROR_STORE_IN_DOUBT,       /* whether the transaction was committed is not known */
    ERROR_RESOLVER_UNAVAILABLE, /* of DIDs: the answer, if any, is no word about the DID */
    ERROR_SHUTTING_DOWN,

    /* Ours. */
    ERROR_LINT, /* a signing input that the signer's own policy refuses */
    ERROR_INTERNAL,
};

struct error_cause {
    const char *library;  /* "openssl", "pkcs11", "sqlite", "os"; static storage */
    unsigned long number; /* as the library's manual lists it; 0: it has no numbers */
    char text[128];
};

struct error {
    enum error_code code;
    char message[256];
    struct error_cause cause; /* library == NULL: none */
};

/* Fills `err` and returns false, so that a failing function ends in `return fail(...)`. */
MUST_CHECK bool fail(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with OpenSSL's oldest queued error as the cause. Empties the queue. */
MUST_CHECK bool fail_openssl(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with errno as the cause. */
MUST_CHECK bool fail_errno(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before the message of an error passing through. Returns false. */
MUST_CHECK bool error_context(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The whole error as one line for an operator: message, then the cause in brackets. */
struct error_line {
    char text[512];
};
struct error_line error_line(const struct error *err);
