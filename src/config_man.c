/* Prints the manual page issuerd.conf(5) from the table of settings; a part of the build. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_table.h"

/* groff_man(7): a backslash, a hyphen that is one, and what a line must not begin with. */
static void print_escaped(const char *text)
{
    bool at_start = true;

    for (const char *at = text; *at != '\0'; at++) {
        if (at_start && (*at == '.' || *at == '\'')) {
            fputs("\\&", stdout);
        }
        if (*at == '\\') {
            fputs("\\e", stdout);
        } else if (*at == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(*at);
        }
        at_start = *at == '\n';
    }
}

static void print_values(const struct config_setting *setting)
{
    switch (setting->type) {
    case CONFIG_NUMBER:
        printf("%" PRId64 " to %" PRId64 " %s", setting->min, setting->max, setting->unit);
        break;
    case CONFIG_YES_NO:
        fputs("yes or no", stdout);
        break;
    case CONFIG_CHOICE:
        fputs("One of: ", stdout);
        print_escaped(setting->choices);
        break;
    case CONFIG_TEXT:
        printf("Text of at most %" PRId64 " characters", setting->max);
        break;
    }
}

static void print_setting(const struct config_setting *setting)
{
    fputs(".TP\n.B ", stdout);
    print_escaped(setting->name);
    putchar('\n');
    print_escaped(setting->sentence);
    fputs("\n.br\n", stdout);
    print_values(setting);
    if (setting->required) {
        fputs("; required.\n", stdout);
    } else if (setting->preset[0] != '\0') {
        fputs("; default ", stdout);
        print_escaped(setting->preset);
        fputs(".\n", stdout);
    } else {
        fputs(".\n", stdout);
    }
    if (config_reload_exception(setting) != NULL) {
        print_escaped(config_reload_exception(setting));
        putchar('\n');
    }
    if (setting->example != NULL) {
        fputs(".br\nExample:\n.nf\n", stdout);
        print_escaped(setting->example);
        fputs("\n.fi\n", stdout);
    }
}

static void print_section(const char *section)
{
    if (strcmp(section, "signer") == 0) {
        fputs(".SH [signer NAME]\nOne section for each key, at most 8. NAME: a\\-z, 0\\-9 and \\-,"
              " at most 32. When one is down or full the next signs.\n",
              stdout);
    } else {
        printf(".SH [%s]\n", section);
    }
}

static void print_head(void)
{
    fputs(".TH ISSUERD.CONF 5 \"\" \"issuerd " ISSUERD_VERSION "\" \"File formats\"\n"
          ".SH NAME\nissuerd.conf \\- the configuration of issuerd\n"
          ".SH SYNOPSIS\n.I /etc/issuerd/issuerd.conf\n"
          ".SH DESCRIPTION\n"
          "An INI file: sections in brackets, each once, with lines \"name = value\". A line that"
          " begins with # or ; is a comment, as is what follows a ; after white space. An unknown"
          " section or name is an error.\n.PP\n"
          ".B issuerd \\-\\-check\\-config FILE\nlists everything that is wrong with a file;\n"
          ".B issuerd \\-\\-settings\nprints one to start from.\n.PP\n"
          "At a reload (SIGHUP) the file is read again and checked as a whole. With an error in it"
          " nothing changes; else a change takes effect where nothing else is said. A signer whose"
          " section changed is started anew beside the one before, which finishes what it has.\n",
          stdout);
}

int main(void)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    const char *section = "";

    print_head();
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].section, section) != 0) {
            section = settings[i].section;
            print_section(section);
        }
        print_setting(&settings[i]);
    }
    fputs(".SH SEE ALSO\n.BR issuerd (8),\n.BR issuerctl (8)\n", stdout);
    return ferror(stdout) != 0;
}
