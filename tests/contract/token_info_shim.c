/*
 * A PKCS#11 module in front of the one that TOKEN_INFO_MODULE names, which tells of each token what
 * SoftHSM2 cannot be brought to: TOKEN_INFO_FLAGS are set besides its own flags, TOKEN_INFO_SESSIONS
 * is its ulMaxSessionCount.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST list;

static unsigned long number(const char *variable)
{
    const char *value = getenv(variable);
    return value == NULL ? 0 : strtoul(value, NULL, 0);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    const CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK) {
        info->flags |= number("TOKEN_INFO_FLAGS");
        info->ulMaxSessionCount = number("TOKEN_INFO_SESSIONS");
    }
    return rv;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list_out)
{
    CK_C_GetFunctionList get_list = NULL;
    void *module = dlopen(getenv("TOKEN_INFO_MODULE"), RTLD_NOW | RTLD_LOCAL);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");

    memcpy(&get_list, &symbol, sizeof(symbol));
    if (get_list == NULL || get_list(&real) != CKR_OK) {
        return CKR_GENERAL_ERROR;
    }
    list = *real;
    list.C_GetTokenInfo = token_info;
    *list_out = &list;
    return CKR_OK;
}
