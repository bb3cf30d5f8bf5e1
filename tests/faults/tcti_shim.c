/*
 * A TCTI module that stands in front of another one and misbehaves on command: the busy, resetting,
 * broken TPM of the fault tests. tss2-tctildr loads it by "PATH/tcti_shim.so:INNER", where INNER is
 * the TCTI string of the real one (swtpm:path=...). fault_rules.h tells what SHIM_CONTROL and
 * SHIM_LOG are, and how a fault is written:
 *
 *   TPM2_Sign rc=0x922 times=1          answers TPM_RC_RETRY in the TPM's place
 *   TPM2_StartAuthSession rc=0x101 finish   the TPM does it, and failure is reported
 *   TPM2_Sign drop                      the TPM does it, and the connection breaks before its answer
 *   TPM2_Sign mute                      does not answer within any time-out
 *   TPM2_Sign flip                      one bit of the signature is wrong
 *   TPM2_ReadPublic delay_us=70000      takes 70 ms longer
 *   TPM2_Sign hang, TPM2_Sign abort     never answers; takes the process down
 *
 * The log tells the response code of each TPM2_Sign, so that tries of an authorization value can be
 * counted; never what was sent or answered.
 *
 * Threads: as a TCTI has it, one for each context.
 */
#include "fault_rules.h"

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>

enum {
    HEADER_SIZE = 10, /* tag, size, code: TPM 2.0 Part 1 18.2 */
    CODE_AT = 6,
    SIGNATURE_AT = 30, /* inside the signature's first number, whatever the algorithm */
};

static const TPM2_CC command_codes[] = {
    TPM2_CC_Sign,          TPM2_CC_StartAuthSession, TPM2_CC_ReadPublic,
    TPM2_CC_GetCapability, TPM2_CC_Startup,          TPM2_CC_FlushContext,
};

enum { COMMANDS = sizeof(command_codes) / sizeof(command_codes[0]) };

/* In the order of their codes above. */
static const struct fault_function commands[COMMANDS] = {
    { "TPM2_Sign", BEGINS, LOGGED, FAULT_FLIP | FAULT_DROP | FAULT_MUTE },
    { "TPM2_StartAuthSession", BEGINS, SILENT, FAULT_DROP },
    { "TPM2_ReadPublic", BEGINS, SILENT, FAULT_DROP },
    { "TPM2_GetCapability", BEGINS, SILENT, FAULT_DROP },
    { "TPM2_Startup", BEGINS, SILENT, FAULT_DROP },
    { "TPM2_FlushContext", BEGINS, SILENT, FAULT_DROP },
};

static const struct fault_shim description = { "tcti_shim", "rc", commands, COMMANDS };

struct tcti_shim {
    TSS2_TCTI_CONTEXT_COMMON_V1 base;
    TSS2_TCTI_CONTEXT *inner;
    size_t command; /* COMMANDS: none of ours */
    struct fault fault;
};

static struct tcti_shim *shim_of(TSS2_TCTI_CONTEXT *context)
{
    return (struct tcti_shim *)(void *)context;
}

static bool is_skipped(const struct tcti_shim *self)
{
    return (self->fault.modes & FAULT_SKIP) != 0;
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* ---- one command ---- */

static size_t command_of(const uint8_t *sent, size_t size)
{
    size_t command = 0;
    while (size >= HEADER_SIZE && command < COMMANDS
           && command_codes[command] != read_u32(sent + CODE_AT)) {
        command++;
    }
    return size >= HEADER_SIZE ? command : COMMANDS;
}

static TSS2_RC shim_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct tcti_shim *self = shim_of(context);

    self->command = command_of(command, size);
    self->fault = self->command < COMMANDS ? fault_befall(&description, self->command)
                                           : (struct fault){ .code = 0 };
    return is_skipped(self) ? TSS2_RC_SUCCESS : Tss2_Tcti_Transmit(self->inner, size, command);
}

/* A response that is nothing but a code. */
static void write_code(uint8_t *response, size_t *size, uint32_t code)
{
    const uint8_t header[HEADER_SIZE] = { TPM2_ST_NO_SESSIONS >> 8,
                                          TPM2_ST_NO_SESSIONS & 0xff,
                                          0,
                                          0,
                                          0,
                                          HEADER_SIZE,
                                          (uint8_t)(code >> 24),
                                          (uint8_t)(code >> 16),
                                          (uint8_t)(code >> 8),
                                          (uint8_t)code };
    memcpy(response, header, sizeof(header));
    *size = sizeof(header);
}

/* What the caller gets for what the TPM answered, or would have. An error of the TPM's own is not
 * hidden. */
static TSS2_RC spoil(const struct tcti_shim *self, uint8_t *response, size_t *size)
{
    const bool good = is_skipped(self) || read_u32(response + CODE_AT) == TPM2_RC_SUCCESS;

    if ((self->fault.modes & FAULT_DROP) != 0) {
        fault_log_call(&description, self->command, TSS2_TCTI_RC_IO_ERROR);
        return TSS2_TCTI_RC_IO_ERROR;
    }
    if (self->fault.code != 0 && good) {
        write_code(response, size, (uint32_t)self->fault.code);
    } else if ((self->fault.modes & FAULT_FLIP) != 0 && *size > SIGNATURE_AT) {
        response[SIGNATURE_AT] ^= 1;
    }
    fault_log_call(&description, self->command, read_u32(response + CODE_AT));
    return TSS2_RC_SUCCESS;
}

static TSS2_RC shim_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response,
                            int32_t timeout)
{
    struct tcti_shim *self = shim_of(context);

    if ((self->fault.modes & FAULT_MUTE) != 0) {
        (void)poll(NULL, 0, timeout);
        return TSS2_TCTI_RC_TRY_AGAIN;
    }
    if (response == NULL && is_skipped(self)) { /* asks for the size */
        *size = HEADER_SIZE;
        return TSS2_RC_SUCCESS;
    }
    const TSS2_RC rc = is_skipped(self) ? TSS2_RC_SUCCESS
                                        : Tss2_Tcti_Receive(self->inner, size, response, timeout);
    if (rc != TSS2_RC_SUCCESS || response == NULL || self->command == COMMANDS) {
        return rc;
    }
    return spoil(self, response, size);
}

/* ---- the module ---- */

static void shim_finalize(TSS2_TCTI_CONTEXT *context)
{
    Tss2_TctiLdr_Finalize(&shim_of(context)->inner);
}

static TSS2_RC shim_cancel(TSS2_TCTI_CONTEXT *context)
{
    return Tss2_Tcti_Cancel(shim_of(context)->inner);
}

static TSS2_RC shim_get_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles,
                                     size_t *count)
{
    return Tss2_Tcti_GetPollHandles(shim_of(context)->inner, handles, count);
}

static TSS2_RC shim_set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(shim_of(context)->inner, locality);
}

static TSS2_RC shim_init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *config)
{
    struct tcti_shim *self = shim_of(context);

    if (self == NULL) {
        *size = sizeof(*self);
        return TSS2_RC_SUCCESS;
    }
    *self = (struct tcti_shim){ .base = { .magic = 0x6661756c74730a00,
                                          .version = 1,
                                          .transmit = shim_transmit,
                                          .receive = shim_receive,
                                          .finalize = shim_finalize,
                                          .cancel = shim_cancel,
                                          .getPollHandles = shim_get_poll_handles,
                                          .setLocality = shim_set_locality },
                                .command = COMMANDS };
    return Tss2_TctiLdr_Initialize(config, &self->inner);
}

static const TSS2_TCTI_INFO info = { .version = 1,
                                     .name = "tcti-shim",
                                     .description = "Misbehaves on command.",
                                     .config_help = "The TCTI to stand in front of.",
                                     .init = shim_init };

__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

__attribute__((visibility("default"))) const TSS2_TCTI_INFO *Tss2_Tcti_Info(void)
{
    return &info;
}
