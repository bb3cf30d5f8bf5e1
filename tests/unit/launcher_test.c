/* Who starts signers for issuerd. A script stands for issuerd-signer. */
#include "hsm/launcher.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "support/run.h"

enum { WITHIN_MS = 10000, ENDED_BY_ITSELF = 7 };

static struct signer_options one_signer(const char *name, const char *const *setenv)
{
    return (struct signer_options){
        .name = name, .uri = "file:/key", .algorithm = "", .setenv = setenv, .setenv_count = 1
    };
}

static const char *const ends[] = { "SCRIPT=exit 7" };
static const char *const stays[] = { "SCRIPT=read nothing <&3; sleep 60" };

static struct {
    char directory[64];
    char script[128];
    char file[128]; /* for the configuration: while it is there, it names `later` as well */
    struct signer_options signers[2]; /* the first alone is known from the start */
    struct signers_options options;
    struct launcher *launcher;
    struct child child;
    struct error err;
} fixture;

static bool read_signers(void *context, struct signers_options *options_out, struct error *err)
{
    if (access(context, F_OK) != 0) {
        return fail(err, ERROR_CONFIG, "no configuration");
    }
    *options_out = fixture.options;
    options_out->count = COUNT_OF(fixture.signers);
    return true;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    (void)fputs(text, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
    CU_ASSERT_EQUAL(chmod(path, 0700), 0);
}

static void set_up(void)
{
    memset(&fixture, 0, sizeof(fixture));
    (void)snprintf(fixture.directory, sizeof(fixture.directory), "/tmp/launcher test XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(fixture.directory));
    (void)snprintf(fixture.script, sizeof(fixture.script), "%s/signer", fixture.directory);
    (void)snprintf(fixture.file, sizeof(fixture.file), "%s/file", fixture.directory);
    write_file(fixture.script, "#!/bin/sh\neval \"$SCRIPT\"\n");
    fixture.signers[0] = one_signer("main", ends);
    fixture.signers[1] = one_signer("later", stays);
    fixture.options = (struct signers_options){ .program = fixture.script,
                                                .issuer = "https://issuer.example",
                                                .audience = "https://issuer.example",
                                                .signers = fixture.signers,
                                                .count = 1 };
    fixture.child = (struct child){ .pid = -1, .control_fd = -1 };
    CU_ASSERT_TRUE_FATAL(launcher_start(&fixture.options, read_signers, fixture.file,
                                        &fixture.launcher, &fixture.err));
}

static void tear_down(void)
{
    if (fixture.launcher != NULL) {
        (void)launcher_end_child(fixture.launcher, &fixture.child);
        launcher_stop(take(fixture.launcher));
        CU_ASSERT_TRUE(wait(NULL) > 0);
    }
    (void)unlink(fixture.file);
    (void)unlink(fixture.script);
    (void)rmdir(fixture.directory);
}

static bool start(const struct signer_options *signer)
{
    scoped(release_memory) struct wire_launch *launch = xcalloc(1, sizeof(*launch));

    child_fill_launch(launch, WIRE_SERVE, &fixture.options, signer);
    const struct digest identity = child_identity(launch, signer);
    return launcher_start_child(fixture.launcher, &identity, STDERR_FILENO, STDERR_FILENO,
                                &fixture.child, &fixture.err);
}

static void await_end(void)
{
    struct pollfd fd = { .fd = fixture.child.control_fd };
    CU_ASSERT_EQUAL_FATAL(poll(&fd, 1, WITHIN_MS), 1);
}

static void test_a_signer_of_the_configuration_is_started_and_its_end_told(void)
{
    CU_ASSERT_TRUE_FATAL(start(&fixture.signers[0]));
    CU_ASSERT_TRUE(fixture.child.pid > 0);
    await_end();
    const int status = launcher_end_child(fixture.launcher, &fixture.child);
    CU_ASSERT_TRUE(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), ENDED_BY_ITSELF);
    CU_ASSERT_EQUAL(fixture.child.control_fd, -1);
}

static void test_a_signer_that_stays_is_killed(void)
{
    write_file(fixture.file, "");
    CU_ASSERT_TRUE_FATAL(start(&fixture.signers[1]));
    const pid_t pid = fixture.child.pid;
    const int status = launcher_end_child(fixture.launcher, &fixture.child);
    CU_ASSERT_TRUE(WIFSIGNALED(status));
    CU_ASSERT_EQUAL(WTERMSIG(status), SIGKILL);
    CU_ASSERT_EQUAL(kill(pid, 0), -1);
}

static void test_a_signer_of_nobodys_is_not_started(void)
{
    const struct signer_options other = one_signer("main", stays);

    write_file(fixture.file, "");
    CU_ASSERT_FALSE(start(&other));
    CU_ASSERT_EQUAL(fixture.err.code, ERROR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "has no such signer: reload again"));
    CU_ASSERT_TRUE(start(&fixture.signers[0])); /* and it goes on */
}

static void test_the_file_is_read_again_for_one_that_is_new(void)
{
    CU_ASSERT_FALSE(start(&fixture.signers[1]));
    CU_ASSERT_PTR_NOT_NULL(strstr(fixture.err.message, "no configuration"));
    write_file(fixture.file, "");
    CU_ASSERT_TRUE(start(&fixture.signers[1]));
}

static void test_what_another_process_started_is_not_ended(void)
{
    struct child ours = { .pid = getpid(), .control_fd = -1 };

    CU_ASSERT_EQUAL(launcher_end_child(fixture.launcher, &ours), 0);
    CU_ASSERT_EQUAL(ours.pid, -1);
}

/* Our only child it is, too. */
static void test_without_the_launcher_nothing_starts(void)
{
    siginfo_t info = { .si_pid = 0 };

    write_file(fixture.file, "");
    CU_ASSERT_TRUE_FATAL(start(&fixture.signers[1]));
    CU_ASSERT_EQUAL_FATAL(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), 0);
    CU_ASSERT_EQUAL(info.si_pid, 0);
    launcher_stop(take(fixture.launcher));
    CU_ASSERT_EQUAL(waitid(P_ALL, 0, &info, WEXITED), 0);
    await_end(); /* of the signer, by the launcher's */
    release_fd(&fixture.child.control_fd);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "a signer of the configuration is started, and its end told",
          test_a_signer_of_the_configuration_is_started_and_its_end_told },
        { "a signer that stays is killed", test_a_signer_that_stays_is_killed },
        { "a signer of nobody's is not started", test_a_signer_of_nobodys_is_not_started },
        { "the file is read again for one that is new",
          test_the_file_is_read_again_for_one_that_is_new },
        { "what another process started is not ended",
          test_what_another_process_started_is_not_ended },
        { "without the launcher nothing starts, and its signers end",
          test_without_the_launcher_nothing_starts },
        CU_TEST_INFO_NULL,
    };
    return run_suite("launcher", set_up, tear_down, tests);
}
