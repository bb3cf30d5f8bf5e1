/*
 * Places where a test can have the process killed, as by a power cut: tests/crash/run.sh. They are
 * there only in a build with -DCRASH_POINTS=ON; in any other nothing of them is, not even a name.
 *
 * With ISSUERD_CRASH_AT=code-spent:3 in the environment the process ends by SIGKILL when
 * CRASH_POINT(CODE_SPENT) is passed for the third time, whichever threads pass it. If
 * ISSUERD_CRASH_MARK names a file, it is made just before; who finds it there goes on, so that a
 * signer that is started again does not die again.
 */
#pragma once

/* What has just happened, or is just about to, at each: POINT(NAME, "name"). */
#define CRASH_POINT_TABLE(POINT)                                                                   \
    POINT(REQUEST_PARSED, "request-parsed")                                                        \
    POINT(CODE_CLAIMED, "code-claimed")                                                            \
    POINT(CODE_LOOKED_UP, "code-looked-up")                                                        \
    POINT(TOKEN_COMPOSED, "token-composed")                                                        \
    POINT(SIGNATURE_SUBMITTED, "signature-submitted")                                              \
    POINT(SIGNER_REQUEST_RECEIVED, "signer-request-received")                                      \
    POINT(SIGNER_SIGNED, "signer-signed")                                                          \
    POINT(SIGNER_VERIFIED, "signer-verified")                                                      \
    POINT(SIGNER_ANSWERED, "signer-answered")                                                      \
    POINT(SIGNATURE_COLLECTED, "signature-collected")                                              \
    POINT(TRANSACTION_BEGUN, "transaction-begun")                                                  \
    POINT(CODE_SPENT, "code-spent")                                                                \
    POINT(LEDGER_APPENDED, "ledger-appended")                                                      \
    POINT(PURGED, "purged")                                                                        \
    POINT(TREE_KEPT, "tree-kept")                                                                  \
    POINT(COMMITTED, "committed")                                                                  \
    POINT(JOB_DONE, "job-done")                                                                    \
    POINT(REPLAY_RECORDED, "replay-recorded")                                                      \
    POINT(ANSWER_BEGUN, "answer-begun")                                                            \
    POINT(ANSWER_SENT, "answer-sent")                                                              \
    POINT(CHECKPOINT_COMPOSED, "checkpoint-composed")                                              \
    POINT(CHECKPOINT_SIGNED, "checkpoint-signed")                                                  \
    POINT(CHECKPOINT_STORED, "checkpoint-stored")                                                  \
    POINT(HEAD_WRITTEN, "head-written")                                                            \
    POINT(HEAD_RENAMED, "head-renamed")                                                            \
    POINT(SQLITE_CHECKPOINT_BEGUN, "sqlite-checkpoint-begun")                                      \
    POINT(SQLITE_CHECKPOINTED, "sqlite-checkpointed")                                              \
    POINT(POSTGRESQL_SENT, "postgresql-sent")

#define CRASH_POINT_MEMBER(name, text) CRASH_##name,
enum crash_point { CRASH_POINT_TABLE(CRASH_POINT_MEMBER) CRASH_POINT_COUNT };
#undef CRASH_POINT_MEMBER

/* A name that is not in the table does not compile, in either build. */
#ifdef CRASH_POINTS
void crash_point_pass(enum crash_point point);
#define CRASH_POINT(name) crash_point_pass(CRASH_##name)
#else
#define CRASH_POINT(name) ((void)CRASH_##name)
#endif
