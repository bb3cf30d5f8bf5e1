#include "faults/fault_cases.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { CODES_MAX = 24 };

/* Codes that mean the same to a signer. */
struct class
{
    const char *name;
    const char *only; /* the functions, with a blank around each; NULL: all */
    unsigned traits;
    unsigned codes[CODES_MAX];
};

struct function {
    const char *name;
    enum fault_trigger trigger;
    bool variant;
    const char *with; /* another line of faults, so that it is called; NULL: none */
};

/* What no code says; `words` for fault_rules.h. */
struct mode {
    const char *name;
    const char *words;
    const char *only;
    unsigned traits;
};

struct provider {
    const char *name;
    const char *code_word;
    const struct class *classes;
    size_t class_count;
    const struct function *functions;
    size_t function_count;
    const struct mode *modes;
    size_t mode_count;
};

/* ---- PKCS#11 ---- */

static const struct class pkcs11_classes[] = {
    { "session lost", NULL, IS_LOSS, { 0xb3, 0xb0, 0x90, 0x91, 0x202 } },
    { "login lost", NULL, IS_LOSS, { 0x101, 0x82, 0x60, 0x65 } },
    { "pool full", NULL, 0, { 0xb1 } },
    { "busy", NULL, 0, { 0x50, 0x0a, 0x31 } },
    { "ambiguous", NULL, 0, { 0x30, 0x06, 0x05 } },
    { "device gone", NULL, 0, { 0x32, 0xe0, 0xe1, 0x03, 0x190, 0x1c2, 0x1c1 } },
    { "caller",
      NULL,
      0,
      { 0x07, 0x20, 0x21, 0x62, 0x63, 0x68, 0x70, 0x71, 0x54, 0x150, 0x1b, 0x10, 0x11, 0x12, 0x13,
        0xd0, 0xd1, 0x140, 0x200 } },
    { "host", NULL, 0, { 0x02 } },
    { "vendor", NULL, 0, { 0x80000001, 0x1234 } },
    { "PIN", " C_Login ", IS_REFUSAL, { 0xa0, 0xa1, 0xa2, 0xa3 } },
    { "PIN", " C_Login ", IS_REFUSAL, { 0xa4, 0x102, 0x103, 0x104 } },
    { "PIN elsewhere", " C_Sign C_SignInit ", 0, { 0xa0, 0xa3, 0xa4, 0x102 } },
};

static const char CLOSED[] = "C_Sign close_sessions times=1";

static const struct function pkcs11_functions[] = {
    { "C_SignInit", TRIGGER_SIGNATURE, false, NULL },
    { "C_Sign", TRIGGER_SIGNATURE, false, NULL },
    { "C_GetSessionInfo", TRIGGER_RECOVERY, false, CLOSED },
    { "C_CloseSession", TRIGGER_RECOVERY, false, CLOSED },
    { "C_OpenSession", TRIGGER_RECOVERY, false, CLOSED },
    { "C_GetTokenInfo", TRIGGER_RECOVERY, false, CLOSED },
    { "C_Login", TRIGGER_RECOVERY, false, CLOSED },
    { "C_FindObjectsInit", TRIGGER_RECOVERY, false, CLOSED },
    { "C_FindObjects", TRIGGER_RECOVERY, false, CLOSED },
    { "C_GetAttributeValue", TRIGGER_RECOVERY, false, CLOSED },
    { "C_CopyObject", TRIGGER_RECOVERY, true, CLOSED },
    { "C_Initialize", TRIGGER_START, false, NULL },
    { "C_GetSlotList", TRIGGER_START, false, NULL },
    { "C_GetTokenInfo", TRIGGER_START, false, NULL },
    { "C_OpenSession", TRIGGER_START, false, NULL },
    { "C_Login", TRIGGER_START, false, NULL },
    { "C_FindObjectsInit", TRIGGER_START, false, NULL },
    { "C_FindObjects", TRIGGER_START, false, NULL },
    { "C_GetAttributeValue", TRIGGER_START, false, NULL },
    { "C_CopyObject", TRIGGER_START, true, NULL },
};

static const struct mode pkcs11_modes[] = {
    { "wrong bit", "flip", " C_Sign ", 0 },
    { "hang", "hang", NULL, 0 },
    { "crash", "abort", NULL, 0 },
    { "slow", "delay_us=200000", NULL, 0 },
    { "all sessions closed", "close_sessions", " C_Sign C_SignInit ", IS_LOSS },
    { "logged out", "logout", " C_Sign C_SignInit ", IS_LOSS },
    { "done, reported failed", "rv=0x30 finish",
      " C_SignInit C_OpenSession C_Login C_FindObjectsInit C_CopyObject ", 0 },
    { "left active", "rv=0x30 skip", " C_Sign ", 0 },
    { "benign", "rv=0x100 finish", " C_Login ", IS_HARMLESS },
    { "benign", "rv=0x191 finish", " C_Initialize ", IS_HARMLESS },
};

/* ---- TPM 2.0 ---- */

/* What the TPM says of a parameter, handle or session has its number in it: 0x1d5 is TPM_RC_SIZE (0x095)
 * of the first parameter. */
static const struct class tpm_classes[] = {
    { "session lost", NULL, IS_LOSS, { 0x918, 0x919, 0x91a, 0x91b, 0x91c, 0x91d, 0x91e, 0x901 } },
    { "object lost", NULL, IS_LOSS, { 0x910, 0x911, 0x912, 0x913, 0x914, 0x915, 0x916 } },
    { "retry", NULL, 0, { 0x922, 0x908, 0x90a, 0x909 } },
    { "retry later", NULL, 0, { 0x920, 0x923, 0x904 } },
    { "slots", NULL, 0, { 0x902, 0x903, 0x905, 0x906 } },
    { "not started", NULL, 0, { 0x100 } },
    { "policy", NULL, 0, { 0x128, 0x99d, 0x9a3 } },
    { "dead", NULL, 0, { 0x101, 0x130, 0x12d, 0x120 } },
    { "caller", NULL, 0, { 0x1d5, 0x2d2, 0x1c4, 0x2c3, 0x3e0, 0x18b } },
    { "vendor", NULL, 0, { 0x5a5 } },
    { "auth", " TPM2_Sign ", IS_REFUSAL, { 0x98e, 0x921 } },
    /* With an HMAC session, of a key that counts no tries, this may be another session's fault. */
    { "auth", " TPM2_Sign ", IS_REFUSAL | IS_OF_VARIANT, { 0x9a2 } },
};

static const char DROPPED[] = "TPM2_Sign drop times=1";
static const char LOST[] = "TPM2_Sign rc=0x918 times=1";
static const char NOT_STARTED[] = "TPM2_ReadPublic rc=0x100 times=1";
static const char FULL[] = "TPM2_StartAuthSession rc=0x903 times=1";

static const struct function tpm_functions[] = {
    { "TPM2_Sign", TRIGGER_SIGNATURE, false, NULL },
    { "TPM2_Sign", TRIGGER_SIGNATURE, true, NULL },
    { "TPM2_ReadPublic", TRIGGER_RECOVERY, false, DROPPED },
    { "TPM2_StartAuthSession", TRIGGER_RECOVERY, false, DROPPED },
    { "TPM2_FlushContext", TRIGGER_RECOVERY, false, LOST },
    { "TPM2_ReadPublic", TRIGGER_START, false, NULL },
    { "TPM2_StartAuthSession", TRIGGER_START, false, NULL },
    { "TPM2_GetCapability", TRIGGER_START, false, NULL },
    { "TPM2_Startup", TRIGGER_START, false, NOT_STARTED },
    { "TPM2_FlushContext", TRIGGER_START, false, FULL },
};

static const struct mode tpm_modes[] = {
    { "wrong bit", "flip", " TPM2_Sign ", 0 },
    { "connection lost", "drop", NULL, 0 },
    { "hang", "hang", NULL, 0 },
    { "crash", "abort", NULL, 0 },
    { "slow", "delay_us=200000", NULL, 0 },
    { "done, reported failed", "rc=0x101 finish", " TPM2_Sign TPM2_StartAuthSession ", 0 },
};

/* ---- all of them ---- */

static const struct provider providers[] = {
    { "pkcs11", "rv", pkcs11_classes, COUNT_OF(pkcs11_classes), pkcs11_functions,
      COUNT_OF(pkcs11_functions), pkcs11_modes, COUNT_OF(pkcs11_modes) },
    { "tpm", "rc", tpm_classes, COUNT_OF(tpm_classes), tpm_functions, COUNT_OF(tpm_functions),
      tpm_modes, COUNT_OF(tpm_modes) },
};

static bool is_among(const char *only, const char *name)
{
    char word[48];
    (void)snprintf(word, sizeof(word), " %s ", name);
    return only == NULL || strstr(only, word) != NULL;
}

static size_t count_codes(const struct class *class)
{
    size_t count = 0;
    while (count < CODES_MAX && class->codes[count] != 0) {
        count++;
    }
    return count;
}

struct list {
    struct fault_case *cases;
    size_t count;
};

/* For each duration a case; the word of the class's next code in its turn. */
static void add_class(struct list *list, const struct provider *provider, const struct class *class,
                      const struct function *function, size_t turn)
{
    for (int duration = DURATION_ONCE; duration <= DURATION_LASTING; duration++) {
        assert(list->count < FAULT_CASES_MAX);
        struct fault_case *added = &list->cases[list->count++];
        const size_t next = 3 * turn + (size_t)duration + turn / 4;
        *added = (struct fault_case){ .class = class->name,
                                      .function = function->name,
                                      .trigger = function->trigger,
                                      .with = function->with != NULL ? function->with : "",
                                      .duration = (enum fault_duration)duration,
                                      .traits = class->traits,
                                      .variant = function->variant };
        (void)snprintf(added->words, sizeof(added->words), "%s=0x%x", provider->code_word,
                       class->codes[next % count_codes(class)]);
    }
}

static void add_mode(struct list *list, const struct mode *mode, const struct function *function)
{
    for (int duration = DURATION_ONCE; duration <= DURATION_LASTING; duration += 2) {
        assert(list->count < FAULT_CASES_MAX);
        struct fault_case *added = &list->cases[list->count++];
        *added = (struct fault_case){ .class = mode->name,
                                      .function = function->name,
                                      .trigger = function->trigger,
                                      .with = function->with != NULL ? function->with : "",
                                      .duration = (enum fault_duration)duration,
                                      .traits = mode->traits,
                                      .variant = function->variant };
        (void)snprintf(added->words, sizeof(added->words), "%s", mode->words);
    }
}

static void add_all(struct list *list, const struct provider *provider)
{
    for (size_t c = 0; c < provider->class_count; c++) {
        size_t turn = 0;
        for (size_t f = 0; f < provider->function_count; f++) {
            const struct class *class = &provider->classes[c];
            const bool fits =
                (class->traits & IS_OF_VARIANT) == 0 || provider->functions[f].variant;
            if (fits && is_among(class->only, provider->functions[f].name)) {
                add_class(list, provider, class, &provider->functions[f], turn++);
            }
        }
    }
    for (size_t m = 0; m < provider->mode_count; m++) {
        for (size_t f = 0; f < provider->function_count; f++) {
            if (is_among(provider->modes[m].only, provider->functions[f].name)) {
                add_mode(list, &provider->modes[m], &provider->functions[f]);
            }
        }
    }
}

static void swap(struct fault_case *a, struct fault_case *b)
{
    const struct fault_case held = *a;
    *a = *b;
    *b = held;
}

static void shuffle(struct list *list, unsigned seed)
{
    for (size_t i = list->count; i > 1; i--) {
        swap(&list->cases[i - 1], &list->cases[(size_t)rand_r(&seed) % i]);
    }
}

/* The first `most` of each class. */
static void thin(struct list *list, size_t most)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        size_t of_class = 0;
        for (size_t k = 0; k < kept; k++) {
            of_class += strcmp(list->cases[k].class, list->cases[i].class) == 0;
        }
        if (of_class < most) {
            list->cases[kept++] = list->cases[i];
        }
    }
    list->count = kept;
}

size_t fault_cases_make(const char *provider, size_t most, unsigned seed,
                        struct fault_case cases_out[static FAULT_CASES_MAX])
{
    struct list list = { .cases = cases_out };

    for (size_t i = 0; i < COUNT_OF(providers); i++) {
        if (strcmp(providers[i].name, provider) == 0) {
            add_all(&list, &providers[i]);
        }
    }
    shuffle(&list, seed);
    thin(&list, most);
    for (size_t i = 0, without = 0; i < list.count; i++) {
        if (!list.cases[i].variant) {
            swap(&list.cases[i], &list.cases[without++]);
        }
    }
    return list.count;
}

const char *fault_trigger_name(enum fault_trigger trigger)
{
    switch (trigger) {
    case TRIGGER_SIGNATURE:
        return "signature";
    case TRIGGER_RECOVERY:
        return "recovery";
    case TRIGGER_START:
        return "start";
    }
    return "?";
}

const char *fault_duration_name(enum fault_duration duration)
{
    switch (duration) {
    case DURATION_ONCE:
        return "once";
    case DURATION_THRICE:
        return "three times";
    case DURATION_LASTING:
        return "until cleared";
    }
    return "?";
}
