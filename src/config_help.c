/* The help: the table as a configuration file to start from. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "config_table.h"

enum { WIDTH = 80 };

/* Prints words as comment lines. */
static void print_wrapped(FILE *out, const char *text)
{
    size_t column = 0;
    for (const char *word = text + strspn(text, " "); *word != '\0';) {
        const size_t length = strcspn(word, " ");
        if (column > 0 && column + 1 + length > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0) {
            fputc('#', out);
            column = 1;
        }
        fprintf(out, " %.*s", (int)length, word);
        column += 1 + length;
        word += length + strspn(word + length, " ");
    }
    fputc('\n', out);
}

static void print_type(FILE *out, const struct config_setting *setting)
{
    char line[256] = "";
    const char *preset = setting->preset[0] == '\0' ? "empty" : setting->preset;
    switch (setting->type) {
    case CONFIG_NUMBER:
        (void)snprintf(line, sizeof(line), "Number, %" PRId64 " to %" PRId64 " %s; default %s.",
                       setting->min, setting->max, setting->unit, preset);
        break;
    case CONFIG_YES_NO:
        (void)snprintf(line, sizeof(line), "yes or no; default %s.", preset);
        break;
    case CONFIG_CHOICE:
        (void)snprintf(line, sizeof(line), "One of: %s; default %s.", setting->choices, preset);
        break;
    case CONFIG_TEXT:
        (void)snprintf(line, sizeof(line), "Text, at most %" PRId64 " characters; %s%s.",
                       setting->max,
                       setting->required  ? "required"
                       : setting->repeats ? "default none"
                                          : "default ",
                       setting->required || setting->repeats ? "" : preset);
        break;
    }
    print_wrapped(out, line);
}

static void print_setting(FILE *out, const struct config_setting *setting)
{
    const char *value = setting->example != NULL ? setting->example : setting->preset;
    fputc('\n', out);
    print_wrapped(out, setting->sentence);
    print_type(out, setting);
    if (config_reload_exception(setting) != NULL) {
        print_wrapped(out, config_reload_exception(setting));
    }
    fprintf(out, "%s%s =%s%s\n", setting->required ? "" : "#", setting->name,
            value[0] == '\0' ? "" : " ", value);
}

void config_print_help(FILE *out)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    const char *section = "";

    print_wrapped(out, "The configuration of issuerd. What is required stands as an example, the "
                       "rest, commented out, with its default. Check a file with `issuerd "
                       "--check-config FILE`. A change takes effect at a reload (SIGHUP) where "
                       "nothing else is said.");
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].section, section) != 0) {
            section = settings[i].section;
            const bool is_signer = strcmp(section, "signer") == 0;
            fputs(is_signer
                      ? "\n\n# One section for each key, [signer NAME], at most 8. NAME: a-z, 0-9"
                        " and '-',\n# at most 32. When one is down or full the next signs.\n"
                      : "\n\n",
                  out);
            fprintf(out, is_signer ? "[%s main]\n" : "[%s]\n", section);
        }
        print_setting(out, &settings[i]);
    }
}
