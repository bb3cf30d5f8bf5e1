/*
 * The table of settings, and what a row can be asked. Only config*.c and their test include it.
 */
#pragma once

#include "config.h"

enum { CONFIG_SETTINGS_MAX = 64 };

enum config_type { CONFIG_NUMBER, CONFIG_YES_NO, CONFIG_CHOICE, CONFIG_TEXT };

/* What becomes of a value that changed while a server runs, at its reload. */
enum config_reload {
    CONFIG_NEXT_START = 1, /* it takes effect at the next start */
    CONFIG_AT_ONCE,
    CONFIG_IF_SET, /* another one at once; one that was empty, or now is, at the next start */
};

/* Whether a text that is not empty is good by itself. Fails with ERROR_CONFIG; the message says
 * what is wrong and what to do, without the setting's name. */
typedef MUST_CHECK bool config_check_fn(const char *value, struct error *err);

struct config_setting {
    const char *section; /* "signer" stands for every [signer NAME] */
    const char *name;
    const char *sentence;
    enum config_type type;
    enum config_reload reload;
    bool required;
    bool repeats;           /* may be given several times; the field is a list */
    int64_t min;            /* CONFIG_NUMBER */
    int64_t max;            /* CONFIG_NUMBER; CONFIG_TEXT: characters */
    const char *unit;       /* CONFIG_NUMBER */
    const char *choices;    /* CONFIG_CHOICE: separated by single spaces */
    const char *preset;     /* the default as it would stand in the file; "": none, or empty */
    const char *example;    /* for the help, where a default says too little; may be NULL */
    config_check_fn *check; /* CONFIG_TEXT; may be NULL */
    size_t offset;          /* of the field in struct config, or in struct config_signer */
};

const struct config_setting *config_settings(size_t *count_out);

/* The row of `name` in `section`; NULL if there is none. */
const struct config_setting *config_setting_find(const char *section, const char *name);

bool config_section_is_known(const char *section);

/* The known name most like a wrong one; NULL if none is near. */
const char *config_nearest_name(const char *section, const char *name);
const char *config_nearest_section(const char *section);

/* For the help: what a reload does with a change, where that is not to take it. NULL: it takes it. */
const char *config_reload_exception(const struct config_setting *setting);

/* Checks `value` by its row and puts it into `fields` (a struct config or config_signer). On false
 * the field is as it was. */
MUST_CHECK bool config_setting_store(const struct config_setting *setting, void *fields,
                                     const char *value, struct error *err);

/* Gives the field its default; frees what it holds. */
void config_setting_reset(const struct config_setting *setting, void *fields);
void config_setting_free(const struct config_setting *setting, void *fields);
