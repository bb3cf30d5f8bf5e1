/*
 * Reads the configuration file. libinih splits the lines; the reader it draws them from keeps what
 * it does not tell: line numbers, sections (it cuts their names at 50 bytes), and every line that
 * is neither (it tells the first alone).
 */
#include "config_read.h"

#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

enum { LINE_LENGTH_MAX = 4096, FILE_SIZE_MAX = 65536 };

static const char SIGNER_PREFIX[] = "signer ";

/* --- problems --- */

/* Opens a place behind all problems up to `line`. */
static struct config_problem *insert_problem(struct config_problems *problems, int line)
{
    const size_t count = problems->count;
    if ((count & (count - 1)) == 0) { /* full: capacities are powers of two */
        struct config_problem *longer = xcalloc(count == 0 ? 1 : count * 2, sizeof(*longer));
        if (count > 0) {
            memcpy(longer, problems->list, count * sizeof(*longer));
        }
        free(problems->list);
        problems->list = longer;
    }
    size_t place = count;
    for (; place > 0 && problems->list[place - 1].line > line; place--) {
        problems->list[place] = problems->list[place - 1];
    }
    problems->count++;
    problems->list[place] = (struct config_problem){ .line = line };
    return &problems->list[place];
}

static void add_problem(struct config_problems *problems, int line, const char *setting,
                        const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void add_problem(struct config_problems *problems, int line, const char *setting,
                        const char *format, va_list args)
{
    struct config_problem *problem = insert_problem(problems, line);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, args);
    (void)snprintf(problem->setting, sizeof(problem->setting), "%s", setting);
}

void config_problems_add(struct config_problems *problems, int line, const char *setting,
                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_problem(problems, line, setting, format, args);
    va_end(args);
}

void config_add_problem(struct config_reading *reading, int line, const char *setting,
                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_problem(reading->problems, line, setting, format, args);
    va_end(args);
}

struct config_label config_label_of(const struct config_reading *reading, size_t owner,
                                    const char *section, const char *name)
{
    struct config_label label;
    const bool is_signer = owner >= OWNER_SIGNER;
    const char *signer = is_signer ? reading->config->signers[owner - OWNER_SIGNER].name : "";
    (void)snprintf(label.text, sizeof(label.text), "%s%s%s.%.30s%s", section, is_signer ? " " : "",
                   signer, name, strlen(name) > 30 ? "..." : "");
    return label;
}

static struct config_label heading_label(const char *heading)
{
    struct config_label label;
    (void)snprintf(label.text, sizeof(label.text), "[%.40s%s]", heading,
                   strlen(heading) > 40 ? "..." : "");
    return label;
}

/* --- sections --- */

size_t config_row_of(const struct config_setting *setting)
{
    size_t count = 0;
    return (size_t)(setting - config_settings(&count));
}

bool config_owns(size_t owner, const struct config_setting *setting)
{
    return (strcmp(setting->section, "signer") == 0) == (owner >= OWNER_SIGNER);
}

static void *fields_of(struct config *config, size_t owner)
{
    return owner == OWNER_CONFIG ? (void *)config : &config->signers[owner - OWNER_SIGNER];
}

static void enter_section(struct config_reading *reading, const char *section, size_t owner)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);

    reading->owner = owner;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(settings[i].section, section) == 0) {
            reading->section = settings[i].section;
            reading->heading_line[owner][i] = reading->number;
        }
    }
}

static int line_of_section(const struct config_reading *reading, const char *section)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    int line = 0;
    for (size_t i = 0; i < count && line == 0; i++) {
        if (strcmp(settings[i].section, section) == 0) {
            line = reading->heading_line[OWNER_CONFIG][i];
        }
    }
    return line;
}

static void reset_fields(struct config *config, size_t owner)
{
    size_t count = 0;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (config_owns(owner, &settings[i])) {
            config_setting_reset(&settings[i], fields_of(config, owner));
        }
    }
}

static bool is_signer_name(const char *name)
{
    const size_t length = strlen(name);
    return length >= 1 && length <= CONFIG_SIGNER_NAME_MAX
        && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static void open_signer(struct config_reading *reading, const char *heading)
{
    struct config *config = reading->config;
    const struct config_label label = heading_label(heading);
    const char *name = heading + strlen(SIGNER_PREFIX);

    reading->any_signer = true;
    if (!is_signer_name(name)) {
        config_add_problem(reading, reading->number, label.text,
                           "must have a name of 1 to %d characters: a-z, 0-9 and '-'",
                           CONFIG_SIGNER_NAME_MAX);
        return;
    }
    for (size_t i = 0; i < config->signer_count; i++) {
        if (strcmp(config->signers[i].name, name) == 0) {
            config_add_problem(reading, reading->number, label.text,
                               "stands twice, first on line %d: give each signer its own name",
                               config->signers[i].line);
            return;
        }
    }
    if (config->signer_count == CONFIG_SIGNERS_MAX) {
        config_add_problem(reading, reading->number, label.text,
                           "is one too many: at most %d signers", CONFIG_SIGNERS_MAX);
        return;
    }
    struct config_signer *signer = &config->signers[config->signer_count];
    memcpy(signer->name, name, strlen(name) + 1);
    signer->line = reading->number;
    reset_fields(config, OWNER_SIGNER + config->signer_count);
    enter_section(reading, "signer", OWNER_SIGNER + config->signer_count);
    config->signer_count++;
}

static void open_section(struct config_reading *reading, const char *heading)
{
    const struct config_label label = heading_label(heading);
    const int before = line_of_section(reading, heading);

    if (strncmp(heading, SIGNER_PREFIX, strlen(SIGNER_PREFIX)) == 0) {
        open_signer(reading, heading);
    } else if (strcmp(heading, "signer") == 0) {
        reading->any_signer = true;
        config_add_problem(reading, reading->number, label.text, "must have a name: [signer main]");
    } else if (!config_section_is_known(heading)) {
        const char *near = config_nearest_section(heading);
        config_add_problem(reading, reading->number, label.text, "is not a known section%s%s%s",
                           near != NULL ? ": did you mean [" : "", near != NULL ? near : "",
                           near != NULL ? "]?" : "");
    } else if (before != 0) {
        config_add_problem(reading, reading->number, label.text,
                           "stands twice, first on line %d: put all into one", before);
    } else {
        enter_section(reading, heading, OWNER_CONFIG);
    }
}

/* `text` begins with '['. */
static void read_heading(struct config_reading *reading, char *text)
{
    char *end = strchr(text, ']');

    reading->any_section = true;
    reading->section = NULL;
    if (end == NULL) {
        reading->section_lost = true;
        config_add_problem(reading, reading->number, "", "has no ']' after the section's name");
        return;
    }
    const char *rest = end + 1 + strspn(end + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#') {
        config_add_problem(reading, reading->number, "",
                           "has text after ']': put it on its own line");
    }
    *end = '\0';
    open_section(reading, text + 1);
    *end = ']';
}

/* --- lines --- */

static const char *line_fault(const char *line, size_t length)
{
    if (length > LINE_LENGTH_MAX) {
        return "is longer than 4096 bytes: shorten it";
    }
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)line[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return "has a control character: remove it";
        }
    }
    return NULL;
}

static void end_line(struct config_reading *reading)
{
    if (reading->unclaimed) {
        config_add_problem(reading, reading->number, "", "is neither [section] nor name = value");
    }
    reading->unclaimed = false;
}

/* libinih's reader. Lines with a fault reach it empty. */
static char *next_line(char *buffer, int size, void *context)
{
    struct config_reading *reading = context;

    end_line(reading);
    const ssize_t got = getline(&reading->line, &reading->line_size, reading->file);
    if (got < 0) {
        return NULL;
    }
    reading->number++;
    char *line = reading->line;
    size_t length = (size_t)got;
    length -= length > 0 && line[length - 1] == '\n';
    length -= length > 0 && line[length - 1] == '\r';

    const char *fault = line_fault(line, length);
    if (fault != NULL) {
        config_add_problem(reading, reading->number, "", "%s", fault);
        length = 0;
    }
    line[length] = '\0';
    const bool has_bom = reading->number == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0;
    char *text = line + (has_bom ? 3 : 0);
    text += strspn(text, " \t");
    if (*text == '[') {
        read_heading(reading, text);
    } else {
        reading->unclaimed = *text != '\0' && *text != ';' && *text != '#';
    }
    (void)snprintf(buffer, (size_t)size, "%s\n", text);
    return buffer;
}

static void unknown_name(struct config_reading *reading, const char *label, const char *name)
{
    const char *near = config_nearest_name(reading->section, name);
    config_add_problem(reading, reading->number, label, "is not a known setting%s%s%s",
                       near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                       near != NULL ? "?" : "");
}

static void read_setting(struct config_reading *reading, const char *name, const char *value)
{
    struct error err;
    const struct config_label label =
        config_label_of(reading, reading->owner, reading->section, name);
    const struct config_setting *setting = config_setting_find(reading->section, name);
    if (setting == NULL) {
        unknown_name(reading, label.text, name);
        return;
    }
    int *given = &reading->given_line[reading->owner][config_row_of(setting)];
    if (*given != 0 && !setting->repeats) {
        config_add_problem(reading, reading->number, label.text,
                           "is given twice, first on line %d: remove one", *given);
        return;
    }
    *given = reading->number;
    if (!config_setting_store(setting, fields_of(reading->config, reading->owner), value, &err)) {
        config_add_problem(reading, reading->number, label.text, "%s", error_line(&err).text);
    }
}

/* libinih's handler. The section it gives may be cut short; ours is not. */
static int handle_setting(void *context, const char *section, const char *name, const char *value)
{
    struct config_reading *reading = context;
    (void)section;

    if (name[0] == '\0') {
        return 1; /* "= value": stays unclaimed */
    }
    reading->unclaimed = false;
    if (!reading->any_section) {
        config_add_problem(reading, reading->number, "", "stands before the first [section]");
    } else if (reading->section != NULL) {
        read_setting(reading, name, value);
    }
    return 1;
}

/* --- the file --- */

/* Opened without waiting, as a FIFO would have us do. */
static bool open_regular(const char *path, FILE **file_out, struct error *err)
{
    struct stat status;
    scoped(release_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return fail_errno(err, ERROR_CONFIG, "cannot be opened");
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(err, ERROR_CONFIG, "is not a regular file");
    }
    if (status.st_size > FILE_SIZE_MAX) {
        return fail(err, ERROR_CONFIG, "is larger than %d bytes", FILE_SIZE_MAX);
    }
    *file_out = fdopen(fd, "r");
    if (*file_out == NULL) {
        return fail_errno(err, ERROR_CONFIG, "cannot be opened");
    }
    fd = -1;
    return true;
}

static void parse(struct config_reading *reading)
{
    ini_use_stack = false; /* a build's stack buffer may be 200 bytes, whatever ini_max_line says */
    ini_max_line = LINE_LENGTH_MAX + 3;
    ini_initial_alloc = LINE_LENGTH_MAX + 3;
    ini_allow_realloc = false;
    ini_allow_multiline = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = false;

    const int result = ini_parse_stream(next_line, reading, handle_setting, reading);
    end_line(reading);
    if (ferror(reading->file) || (result < 0 && reading->problems->count == 0)) {
        config_add_problem(reading, 0, "", "cannot be read to its end");
    }
}

void config_read(struct config_reading *reading, const char *path)
{
    struct error err;
    reset_fields(reading->config, OWNER_CONFIG);
    if (!open_regular(path, &reading->file, &err)) {
        config_add_problem(reading, 0, "", "%s", error_line(&err).text);
        return;
    }
    parse(reading);
    (void)fclose(reading->file);
    free(reading->line);
    reading->complete = true;
}
