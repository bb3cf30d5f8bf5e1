/* What a signer process is born with. A script stands for issuerd-signer and tells. */
#include "hsm/signer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "hsm/wire.h"
#include "support/run.h"

enum { STRANGE_FD = 200, TOLD_SIZE = 1024 };

static struct {
    char directory[64];
    char script[128];
    char told[TOLD_SIZE]; /* the descriptors it had, one a line */
    struct error err;
} fixture;

static void write_script(void)
{
    FILE *file = fopen(fixture.script, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fprintf(file, "#!/bin/sh\nls /proc/$$/fd >'%s/told'\n", fixture.directory);
    CU_ASSERT_EQUAL(fclose(file), 0);
    CU_ASSERT_EQUAL(chmod(fixture.script, 0700), 0);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/signer child XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.script, sizeof(fixture.script), "%s/signer", fixture.directory);
    write_script();
}

static void tear_down(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/told", fixture.directory);
    (void)unlink(path);
    (void)unlink(fixture.script);
    (void)rmdir(fixture.directory);
}

static bool read_told(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/told", fixture.directory);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    fixture.told[0] = '\n';
    const size_t length = fread(fixture.told + 1, 1, TOLD_SIZE - 2, file);
    (void)fclose(file);
    return length > 0;
}

static bool had(int fd)
{
    char line[16];
    (void)snprintf(line, sizeof(line), "\n%d\n", fd);
    return strstr(fixture.told, line) != NULL;
}

/* Runs the script, which ends without a word to us. */
static void run_child(void)
{
    const struct signer_options signer = { .name = "main", .uri = "file:/key", .algorithm = "" };
    const struct signers_options options = { .program = fixture.script,
                                             .issuer = "https://issuer.example",
                                             .audience = "https://issuer.example",
                                             .signers = &signer,
                                             .count = 1 };
    const struct signer_ceremony_options ceremony = { .ceremony = CEREMONY_PROBE };
    struct signer_key key;

    CU_ASSERT_FALSE(signer_run_ceremony(&options, 0, &ceremony, &key, &fixture.err));
    CU_ASSERT_TRUE_FATAL(read_told());
}

static void test_child_has_its_own_descriptors_and_no_other(void)
{
    scoped(release_fd) int connection = socket(AF_INET, SOCK_STREAM, 0); /* no close-on-exec */

    CU_ASSERT_TRUE_FATAL(dup2(connection, STRANGE_FD) == STRANGE_FD);
    run_child();
    CU_ASSERT_EQUAL(fcntl(STRANGE_FD, F_GETFD), 0); /* here nothing changed */
    CU_ASSERT_EQUAL(close(STRANGE_FD), 0);
    CU_ASSERT_TRUE(had(STDERR_FILENO));
    CU_ASSERT_TRUE(had(WIRE_CONTROL_FD));
    CU_ASSERT_FALSE(had(STRANGE_FD));
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a child has its own descriptors and no other",
          test_child_has_its_own_descriptors_and_no_other },
        CU_TEST_INFO_NULL,
    };
    return run_suite("signer child", set_up, tear_down, tests);
}
