#include "hsm/tpm_uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/uri.h"

static const unsigned long PERSISTENT_FIRST = 0x81000000, PERSISTENT_LAST = 0x81ffffff;

static bool parse_handle(const char *text, struct tpm_uri *uri, struct error *err)
{
    static const char head[] = "tpm:handle=";
    char *end = NULL;

    if (strncmp(text, head, strlen(head)) == 0) {
        const unsigned long handle = strtoul(text + strlen(head), &end, 16);
        if (handle >= PERSISTENT_FIRST && handle <= PERSISTENT_LAST && *end == '?') {
            uri->handle = (uint32_t)handle;
            return true;
        }
    }
    return fail(err, ERROR_CONFIG,
                "must begin with tpm:handle=H?, H a persistent handle, 0x81000000 to 0x81ffffff");
}

static bool check_attributes_are_known(const char *text, struct error *err)
{
    static const char *const known[] = { "tcti", "pin-source", "auth" };
    size_t attributes = 1;
    size_t found = 0;

    for (const char *at = strchr(text, '?'); (at = strchr(at, '&')) != NULL; at++) {
        attributes++;
    }
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        found += uri_has_attribute(text, known[i]);
    }
    return attributes == found
        || fail(err, ERROR_CONFIG, "may have tcti, pin-source and auth after '?', each once");
}

static bool parse_auth(const char *text, struct tpm_uri *uri, struct error *err)
{
    char auth[16];

    if (!uri_has_attribute(text, "auth")) {
        return true;
    }
    if (!uri_attribute(text, "auth", auth, sizeof(auth), err)) {
        return false;
    }
    uri->password = strcmp(auth, "password") == 0;
    return uri->password || strcmp(auth, "hmac") == 0
        || fail(err, ERROR_CONFIG, "must have auth=hmac or auth=password");
}

bool tpm_uri_parse(const char *text, struct tpm_uri *uri_out, struct error *err)
{
    struct tpm_uri uri = { .password = false };
    char source[sizeof(uri.auth_file)];

    if (!parse_handle(text, &uri, err)
        || !uri_attribute(text, "tcti", uri.tcti, sizeof(uri.tcti), err)
        || !uri_attribute(text, "pin-source", source, sizeof(source), err)
        || !parse_auth(text, &uri, err) || !check_attributes_are_known(text, err)) {
        return false;
    }
    const char *path = uri_file_path(source);
    if (path == NULL) {
        return fail(err, ERROR_CONFIG, "must have pin-source=file:/ABSOLUTE/PATH");
    }
    (void)snprintf(uri.auth_file, sizeof(uri.auth_file), "%s", path);
    *uri_out = uri;
    return true;
}
