/*
 * What servers answered, kept for http.openapi: if TEST_ANSWERS names a directory, each answer is a
 * line of JSON in a file there, one file a process. Bytes other than printable ASCII are written as
 * \u00XX, whatever they mean.
 *
 * Only answers to http_request() are noted: what other bytes on a connection are answered is no
 * operation's.
 *
 * Threads: any.
 */
#pragma once

#include "support/http_client.h"

/* From now on these are the ports of a server. */
void answers_note_server(int public_port, int admin_port);

void answers_note(int port, const char *method, const char *target, const struct http_reply *reply);
