/*
 * The configuration file read line by line into a struct config: every problem that a line shows
 * by itself. Only config*.c include it.
 */
#pragma once

#include "config_table.h"

/* Whose settings: of struct config itself, or of signer number i at OWNER_SIGNER + i. */
enum { OWNER_CONFIG = 0, OWNER_SIGNER = 1, OWNERS = OWNER_SIGNER + CONFIG_SIGNERS_MAX };

struct config_reading {
    FILE *file;
    char *line;
    size_t line_size;
    int number;     /* of the line */
    bool unclaimed; /* the line should be name = value, and libinih has not yet called back */

    const char *section; /* as the table writes it; NULL: none yet, or one that is skipped */
    size_t owner;
    bool any_section;
    bool any_signer;
    bool section_lost; /* a heading was unreadable: do not call missing what may stand below it */

    /* Where a setting's section and the setting itself were read; 0: nowhere. */
    int heading_line[OWNERS][CONFIG_SETTINGS_MAX];
    int given_line[OWNERS][CONFIG_SETTINGS_MAX];

    struct config *config;
    struct config_problems *problems;
    bool complete; /* the file was there to be read */
};

/* Fills reading->config, whose fields are zero, with the file's settings and the defaults of
 * others, and appends to reading->problems. The caller sets these two, the rest is zero. */
void config_read(struct config_reading *reading, const char *path);

/* "signer main.uri", "[signer main]", "issuer.urll": what a problem is about. */
struct config_label {
    char text[80];
};
struct config_label config_label_of(const struct config_reading *reading, size_t owner,
                                    const char *section, const char *name);

void config_add_problem(struct config_reading *reading, int line, const char *setting,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The index of a row of the table. */
size_t config_row_of(const struct config_setting *setting);

/* Whether a row belongs to `owner`. */
bool config_owns(size_t owner, const struct config_setting *setting);
