/* What an operator does once: initialise a token, generate a key in it. */
#pragma once

#include "hsm/key_provider.h"

key_generate_fn pkcs11_generate;
token_init_fn pkcs11_init_token;
