/* The header traceparent (W3C Trace Context), which lets the log's lines of a request be found by its trace. */
#pragma once

/* `header` if it is of version 00 to the letter and names a trace and a parent, else "": then it is as if
 * there were none. NULL: there is none. */
const char *traceparent_of(const char *header);
