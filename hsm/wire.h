/*
 * The wire between issuerd and issuerd-signer: three pairs of SEQPACKET sockets, one message a
 * packet, plain structs (both ends are one build on one machine).
 *
 *   control   one wire_launch down, one wire_ready up; its end means that the other side is gone
 *   request   wire_request down; all workers of the signer read it, so that none sleeps under load
 *   answer    wire_answer up; issuerd reads them in batches
 */
#pragma once

#include "base/error.h"
#include "hsm/signer.h"

#include <stdint.h>

enum { WIRE_CONTROL_FD = 3, WIRE_REQUEST_FD = 4, WIRE_ANSWER_FD = 5 };

enum { WIRE_PATH_MAX = 1024, WIRE_SIGNATURE_MAX = 512 };

enum wire_mode {
    WIRE_SERVE = 1,
    WIRE_PROBE,
    WIRE_GENERATE_KEY,
    WIRE_DESTROY_KEY,
    WIRE_INIT_TOKEN,
};

struct wire_launch {
    uint32_t size; /* sizeof(struct wire_launch): two builds that differ notice */
    uint32_t mode; /* enum wire_mode */
    uint32_t sessions;
    uint32_t purpose; /* enum signer_purpose */
    uint32_t session_copy;
    uint32_t development;
    uint32_t sandbox;      /* enum sandbox_calls */
    uint32_t sandbox_mode; /* enum sandbox_mode */
    uint32_t rsa_bits;
    int64_t lifetime_max_s;
    int64_t deadline_ms;
    char name[40];
    char algorithm[8];
    char kid[48]; /* WIRE_DESTROY_KEY */
    char uri[WIRE_PATH_MAX];
    char state_dir[WIRE_PATH_MAX]; /* "": none */
    char issuer[WIRE_PATH_MAX];
    char audience[WIRE_PATH_MAX];
    char so_pin_file[WIRE_PATH_MAX];
};

struct wire_ready {
    uint32_t error_code; /* enum error_code; ERROR_NONE: the rest is valid and the signer serves */
    uint32_t sessions;   /* that the device gave */
    char error[512];
    struct signer_key key;
};

enum wire_kind {
    WIRE_SIGN = 1,  /* lint, sign, verify `input` */
    WIRE_SELF_TEST, /* sign and verify a text of the signer's own that is no JWS; no input */
};

struct wire_request {
    uint64_t id;
    int64_t deadline_ns; /* monotonic; not begun by then: WIRE_LATE */
    uint32_t kind;
    uint32_t length;
    char input[]; /* `length` bytes, at most REVOKED_INPUT_MAX */
};

enum wire_status { WIRE_SIGNED = 1, WIRE_LATE, WIRE_REFUSED, WIRE_FAILED };

struct wire_answer {
    uint64_t id;
    int64_t sign_ns; /* the device's part */
    uint32_t status;
    uint32_t wrong; /* signatures that did not verify, and were thrown away */
    uint32_t length;
    uint8_t signature[WIRE_SIGNATURE_MAX]; /* `length` bytes are sent */
};
