/* Where the URL of a PostgreSQL store leads, and what it may not say. */
#include "store/postgresql_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pg_target_option(const struct pg_target *target, const char *keyword)
{
    for (const PQconninfoOption *option = target->options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, keyword) == 0) {
            return option->val;
        }
    }
    return NULL;
}

/* Before libpq reads it, whose messages may quote it. */
static bool check_no_password(const char *url, struct error *err)
{
    const char *authority = strstr(url, "://");
    const size_t length = authority == NULL ? 0 : strcspn(authority + 3, "/?");
    const char *at = length == 0 ? NULL : memchr(authority + 3, '@', length);
    const bool has_password =
        strstr(url, "password") != NULL
        || (at != NULL && memchr(authority + 3, ':', (size_t)(at - authority - 3)));

    return !has_password
        || fail(
            err, ERROR_CONFIG,
            "holds a password, which all can read who can read the configuration: put it into a "
            "file of mode 600, name that by passfile=/PATH, and change the password");
}

static bool parse(const char *url, PQconninfoOption **options_out, struct error *err)
{
    char *reason = NULL;

    *options_out = PQconninfoParse(url, &reason);
    if (*options_out != NULL) {
        return true;
    }
    const size_t length = reason != NULL ? strcspn(reason, "\n") : 0;
    (void)!fail(err, ERROR_CONFIG, "is no URI that libpq reads: %.*s", (int)length,
                reason != NULL ? reason : "");
    PQfreemem(reason);
    return false;
}

/* Cuts a list at its commas. False: there are more than PG_HOSTS_MAX. */
static bool split(char *list, const char **items, size_t *count_out)
{
    *count_out = 0;
    while (list != NULL) {
        if (*count_out == PG_HOSTS_MAX) {
            return false;
        }
        char *item = strsep(&list, ",");
        items[(*count_out)++] = item[0] != '\0' ? item : NULL;
    }
    return true;
}

/* One libpq connection tries them all; here they are tried one by one, as one may have to be left
 * out: see the fence in postgresql.c. */
static bool list_hosts(struct pg_target *target, struct error *err)
{
    const char *names[PG_HOSTS_MAX] = { NULL };
    const char *addresses[PG_HOSTS_MAX] = { NULL };
    const char *ports[PG_HOSTS_MAX] = { NULL };
    size_t name_count, address_count, port_count;

    if (!split(target->names, names, &name_count)
        || !split(target->addresses, addresses, &address_count)
        || !split(target->ports, ports, &port_count)) {
        return fail(err, ERROR_CONFIG, "names more than %d hosts", PG_HOSTS_MAX);
    }
    target->host_count = address_count > 0 ? address_count : name_count > 0 ? name_count : 1;
    if ((name_count > 0 && name_count != target->host_count)
        || (port_count > 1 && port_count != target->host_count)) {
        return fail(err, ERROR_CONFIG,
                    "must name as many hosts as addresses and ports, or one port");
    }
    for (size_t i = 0; i < target->host_count; i++) {
        target->hosts[i] = (struct pg_host){ .name = names[i],
                                             .address = addresses[i],
                                             .port = ports[port_count == 1 ? 0 : i] };
    }
    return true;
}

static bool is_local(const struct pg_host *host)
{
    const char *name = host->address != NULL ? host->address : host->name;

    return name == NULL || name[0] == '/' || name[0] == '@' || strcmp(name, "localhost") == 0
        || strncmp(name, "127.", 4) == 0 || strcmp(name, "::1") == 0;
}

/* libpq's default takes whatever the server, or who is between, has to offer. */
static bool check_tls(const struct pg_target *target, struct error *err)
{
    for (size_t i = 0; i < target->host_count; i++) {
        if (!is_local(&target->hosts[i]) && pg_target_option(target, "sslmode") == NULL) {
            return fail(err, ERROR_CONFIG,
                        "names the remote host %s and no sslmode: write sslmode=verify-full and "
                        "sslrootcert=/PATH",
                        pg_host_name(&target->hosts[i]).text);
        }
    }
    return true;
}

static char *copy_option(const struct pg_target *target, const char *keyword)
{
    const char *value = pg_target_option(target, keyword);
    return value != NULL && value[0] != '\0' ? xstrdup(value) : NULL;
}

bool pg_target_parse(const char *url, struct pg_target *target_out, struct error *err)
{
    scoped(pg_target_clear) struct pg_target target = { .options = NULL };

    if (!check_no_password(url, err) || !parse(url, &target.options, err)) {
        return false;
    }
    if (pg_target_option(&target, "dbname") == NULL) {
        return fail(err, ERROR_CONFIG, "must name a database: postgresql://HOST/DATABASE");
    }
    target.names = copy_option(&target, "host");
    target.addresses = copy_option(&target, "hostaddr");
    target.ports = copy_option(&target, "port");
    if (!list_hosts(&target, err) || !check_tls(&target, err)) {
        return false;
    }
    *target_out = target;
    target = (struct pg_target){ .options = NULL };
    return true;
}

void pg_target_clear(struct pg_target *target)
{
    PQconninfoFree(target->options);
    free(target->names);
    free(target->addresses);
    free(target->ports);
    *target = (struct pg_target){ .options = NULL };
}

struct pg_host_name pg_host_name(const struct pg_host *host)
{
    const char *name = host->name != NULL ? host->name : host->address;
    struct pg_host_name out;

    (void)snprintf(out.text, sizeof(out.text), "%s%s%s", name != NULL ? name : "the local server",
                   host->port != NULL ? ":" : "", host->port != NULL ? host->port : "");
    return out;
}
