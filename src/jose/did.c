/*
 * did                = "did:" method-name ":" method-specific-id
 * method-name        = 1*( %x61-7A / DIGIT )
 * method-specific-id = *( *idchar ":" ) 1*idchar
 * idchar             = ALPHA / DIGIT / "." / "-" / "_" / pct-encoded
 */
#include "jose/did.h"

#include <stddef.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* How many bytes at `at` are one idchar; 0: none. */
static size_t idchar_length(const char *at)
{
    if (*at == '%') {
        return strspn(at + 1, DIGITS "abcdefABCDEF") >= 2 ? 3 : 0;
    }
    return *at != '\0' && strchr(LOWER UPPER DIGITS ".-_", *at) != NULL ? 1 : 0;
}

bool did_is_valid(const char *did)
{
    if (strnlen(did, DID_MAX + 1) > DID_MAX || strncmp(did, "did:", 4) != 0) {
        return false;
    }
    const char *method = did + 4;
    const char *at = method + strspn(method, LOWER DIGITS);
    if (at == method || *at != ':') {
        return false;
    }
    /* Each round is one segment behind its colon. */
    size_t segment = 0;
    while (*at == ':') {
        at++;
        segment = 0;
        for (size_t length; (length = idchar_length(at)) > 0; at += length) {
            segment++;
        }
    }
    return *at == '\0' && segment > 0;
}
