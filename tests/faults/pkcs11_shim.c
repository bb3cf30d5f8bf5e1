/*
 * A PKCS#11 module that stands in front of another one and misbehaves on command: the slow HSM of
 * the benchmark, the broken HSM of the fault tests. SHIM_MODULE, in the environment, is the real
 * module; fault_rules.h tells what SHIM_CONTROL and SHIM_LOG are, and how a fault is written:
 *
 *   C_Sign delay_us=5000             takes 5 ms longer
 *   C_Sign rv=0x30 after=10 count=1  ten calls pass, one fails with CKR_DEVICE_ERROR, the rest pass
 *   C_Sign flip                      succeeds, with one bit of the signature wrong
 *   C_Sign hang                      never returns
 *   C_Sign abort                     takes the process down
 *   C_Sign rv=0x30 skip              fails without calling the real function
 *   C_Sign close_sessions            every session of every token is closed first, the caller's too
 *   C_Sign logout                    the user is logged out of every token first
 *
 * An injected error of a function that ends an operation is reported after the real function has
 * run, as PKCS#11 wants the operation over whatever C_Sign returns (but CKR_BUFFER_TOO_SMALL);
 * "skip" leaves it active, as some modules do. For a function that begins something (a login, a
 * session, an operation) it is the other way about: a refusal leaves nothing behind unless "finish"
 * asks for "done, but reported as failed". An error of the real function is never hidden.
 *
 * Threads: any. No lock is held over a delay.
 */
#include "fault_rules.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */

/* The functions that can misbehave through the plain wrapper: X(name, begins or ends something,
 * logged or not, parameters, arguments). A new one is one line here. */
#define PLAIN_FUNCTIONS(X)                                                                         \
    X(C_Initialize, BEGINS, LOGGED, (void *args), (args))                                          \
    X(C_Finalize, ENDS, SILENT, (void *reserved), (reserved))                                      \
    X(C_GetSlotList, BEGINS, SILENT,                                                               \
      (CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count), (present, slots, count))             \
    X(C_GetTokenInfo, BEGINS, SILENT, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))        \
    X(C_OpenSession, BEGINS, SILENT,                                                               \
      (CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify, CK_SESSION_HANDLE *out),  \
      (slot, flags, context, notify, out))                                                         \
    X(C_CloseSession, ENDS, SILENT, (CK_SESSION_HANDLE session), (session))                        \
    X(C_GetSessionInfo, BEGINS, SILENT,                                                            \
      (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))                         \
    X(C_Login, BEGINS, LOGGED,                                                                     \
      (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG length),               \
      (session, user, pin, length))                                                                \
    X(C_FindObjectsInit, BEGINS, SILENT,                                                           \
      (CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count),                       \
      (session, attributes, count))                                                                \
    X(C_FindObjects, BEGINS, SILENT,                                                               \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG size, CK_ULONG *count),      \
      (session, objects, size, count))                                                             \
    X(C_GetAttributeValue, BEGINS, SILENT,                                                         \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,               \
       CK_ULONG count),                                                                            \
      (session, object, attributes, count))                                                        \
    X(C_CopyObject, BEGINS, SILENT,                                                                \
      (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,               \
       CK_ULONG count, CK_OBJECT_HANDLE *copy),                                                    \
      (session, object, attributes, count, copy))                                                  \
    X(C_GenerateKeyPair, BEGINS, LOGGED,                                                           \
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_attributes,        \
       CK_ULONG public_count, CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,            \
       CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),                               \
      (session, mechanism, public_attributes, public_count, private_attributes, private_count,     \
       public_key, private_key))                                                                   \
    X(C_SignInit, BEGINS, SILENT,                                                                  \
      (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key),                  \
      (session, mechanism, key))

#define FUNCTION_ENUM(name, effect, logged, parameters, arguments) FUNCTION_##name,
#define FUNCTION_ROW(name, effect, logged, parameters, arguments)                                  \
    [FUNCTION_##name] = { #name, (effect), (logged), FAULT_CLOSE_SESSIONS | FAULT_LOGOUT },

/* clang-format on */

enum function { PLAIN_FUNCTIONS(FUNCTION_ENUM) FUNCTION_C_Sign, FUNCTION_COUNT };

static const struct fault_function functions[FUNCTION_COUNT] = {
    PLAIN_FUNCTIONS(FUNCTION_ROW)
        /* It has a wrapper of its own: it can also flip a bit. */
        [FUNCTION_C_Sign] = { "C_Sign", ENDS, SILENT,
                              FAULT_CLOSE_SESSIONS | FAULT_LOGOUT | FAULT_FLIP },
};

static const struct fault_shim description = { "pkcs11_shim", "rv", functions, FUNCTION_COUNT };

static struct {
    pthread_once_t once;
    CK_FUNCTION_LIST list;        /* ours: the real one with our wrappers in it */
    const CK_FUNCTION_LIST *real; /* NULL: the real module could not be loaded */

    /* Held by every real call, exclusively to take sessions away: SoftHSM2 crashes if one of them is
     * signing just then. */
    pthread_rwlock_t calls;
} shim = { .once = PTHREAD_ONCE_INIT, .calls = PTHREAD_RWLOCK_INITIALIZER };

/* ---- one call ---- */

static void log_out(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session;

    if (shim.real->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK) {
        (void)shim.real->C_Logout(session);
        (void)shim.real->C_CloseSession(session);
    }
}

/* What another program, or the token by itself, may do to our sessions. */
static void take_sessions_away(const struct fault *fault)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = sizeof(slots) / sizeof(slots[0]);

    if (shim.real->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) {
        fault_give_up(&description, "cannot list the slots", "C_GetSlotList");
    }
    pthread_rwlock_wrlock(&shim.calls);
    for (CK_ULONG i = 0; i < count; i++) {
        if ((fault->modes & FAULT_LOGOUT) != 0) {
            log_out(slots[i]);
        }
        if ((fault->modes & FAULT_CLOSE_SESSIONS) != 0) {
            (void)shim.real->C_CloseAllSessions(slots[i]);
        }
    }
    pthread_rwlock_unlock(&shim.calls);
}

/* Counts the call and does what happens before the real function, if it is to be reached at all. */
static struct fault fault_begin(enum function function)
{
    struct fault fault = fault_befall(&description, function);
    if ((fault.modes & (FAULT_CLOSE_SESSIONS | FAULT_LOGOUT)) != 0) {
        take_sessions_away(&fault);
    }
    return fault;
}

static bool is_skipped(const struct fault *fault)
{
    return (fault->modes & FAULT_SKIP) != 0;
}

/* What the caller is told, given what the real function returned. */
static CK_RV fault_end(enum function function, const struct fault *fault, CK_RV rv)
{
    CK_RV reported = rv == CKR_OK ? (CK_RV)fault->code : rv;
    fault_log_call(&description, function, reported);
    return reported;
}

#define DEFINE_WRAPPER(name, effect, logged, parameters, arguments)                                \
    static CK_RV shim_##name parameters                                                            \
    {                                                                                              \
        struct fault fault = fault_begin(FUNCTION_##name);                                         \
        pthread_rwlock_rdlock(&shim.calls);                                                        \
        CK_RV rv = is_skipped(&fault) ? CKR_OK : shim.real->name arguments;                        \
        pthread_rwlock_unlock(&shim.calls);                                                        \
        return fault_end(FUNCTION_##name, &fault, rv);                                             \
    }

PLAIN_FUNCTIONS(DEFINE_WRAPPER)

static CK_RV shim_C_Sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG data_length,
                         CK_BYTE *signature, CK_ULONG *length)
{
    if (signature == NULL) { /* asks for the length alone: no signature, no fault */
        return shim.real->C_Sign(session, data, data_length, signature, length);
    }
    struct fault fault = fault_begin(FUNCTION_C_Sign);
    pthread_rwlock_rdlock(&shim.calls);
    CK_RV rv = is_skipped(&fault)
                 ? CKR_OK
                 : shim.real->C_Sign(session, data, data_length, signature, length);
    pthread_rwlock_unlock(&shim.calls);
    if ((fault.modes & FAULT_FLIP) != 0 && !is_skipped(&fault) && rv == CKR_OK) {
        signature[*length / 2] ^= 1;
    }
    return fault_end(FUNCTION_C_Sign, &fault, rv);
}

/* ---- the module ---- */

static CK_RV shim_C_GetFunctionList(CK_FUNCTION_LIST **list_out);

static void load_real_module(void)
{
    const char *path = getenv("SHIM_MODULE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get_list = NULL;
    CK_FUNCTION_LIST *real = NULL;
    if (module == NULL) {
        fprintf(stderr, "pkcs11_shim: SHIM_MODULE: %s\n", path == NULL ? "not set" : dlerror());
        return;
    }
    *(void **)&get_list = dlsym(module, "C_GetFunctionList"); /* POSIX's own idiom */
    if (get_list == NULL || get_list(&real) != CKR_OK) {
        fprintf(stderr, "pkcs11_shim: %s is not a PKCS#11 module\n", path);
        return;
    }
    shim.real = real;
    shim.list = *real;
    shim.list.C_GetFunctionList = shim_C_GetFunctionList;
#define INSTALL(name, effect, logged, parameters, arguments) shim.list.name = shim_##name;
    PLAIN_FUNCTIONS(INSTALL)
#undef INSTALL
    shim.list.C_Sign = shim_C_Sign;
}

static CK_RV shim_C_GetFunctionList(CK_FUNCTION_LIST **list_out)
{
    pthread_once(&shim.once, load_real_module);
    if (shim.real == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list_out = &shim.list;
    return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list_out)
{
    return shim_C_GetFunctionList(list_out);
}
