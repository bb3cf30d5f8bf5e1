#include "ctl/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <tss2/tss2_mu.h>

#include "base/base64url.h"
#include "base/digest.h"
#include "base/json_check.h"
#include "base/memory.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "hsm/tpm_public.h"
#include "hsm/tpm_signature.h"
#include "jose/jwk.h"
#include "jose/jws.h"

enum {
    FORMAT = 1,
    FILE_MAX = 65536,
    FIELD_MAX = 2048,
    NAME_LENGTH = 2 + 32, /* of an object: its hash's identifier, then its hash (Part 1 16) */
};

#define MAKE_IT_AGAIN "run the key's provisioning script again to make %s anew"

struct evidence {
    char path[4096];
    cJSON *json;
    const char *kid;
    const char *algorithm;
    const char *provider;
    const char *made_at;
    const char *signer;
    const char *key;
    const char *device;
    const char *attributes;
    char *jwk;
};

static void evidence_clear(struct evidence *evidence)
{
    cJSON_Delete(evidence->json);
    free(evidence->jwk);
}

DEFINE_RELEASE(release_directory, DIR, closedir)
DEFINE_RELEASE(release_file, FILE, fclose)
DEFINE_RELEASE(release_key, EVP_PKEY, EVP_PKEY_free)
DEFINE_RELEASE(release_verifier, struct jws_verifier, jws_verifier_free)

/* ---- the file ---- */

/* An earlier state of a key's evidence has a longer name: KID.TIME.json. */
static bool is_evidence_of(const char *name, const char *kid)
{
    return strlen(name) == KID_LENGTH + strlen(".json") && strcmp(name + KID_LENGTH, ".json") == 0
        && strncmp(name, kid, strlen(kid)) == 0;
}

static bool find_file(const char *directory, const char *kid, struct evidence *evidence,
                      struct error *err)
{
    scoped(release_directory) DIR *entries = opendir(directory);
    unsigned found = 0;

    if (entries == NULL) {
        return fail_errno(err, ERROR_NOT_FOUND, "no evidence: %s cannot be opened", directory);
    }
    /* cppcheck-suppress readdirCalled ; one thread, and readdir_r is obsolescent */
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (is_evidence_of(entry->d_name, kid)) {
            found++;
            (void)snprintf(evidence->path, sizeof(evidence->path), "%s/%s", directory,
                           entry->d_name);
        }
    }
    if (found > 1) {
        return fail(err, ERROR_CONFLICT, "\"%s\" begins the names of %u keys: write more of it",
                    kid, found);
    }
    return found == 1
        || fail(err, ERROR_NOT_FOUND,
                "no evidence of a key \"%s\" in %s: provisioning/pkcs11-key.sh and tpm-key.sh make "
                "it",
                kid, directory);
}

static bool parse_file(struct evidence *evidence, struct error *err)
{
    scoped(release_memory) char *text = xcalloc(1, FILE_MAX);
    scoped(release_file) FILE *file = fopen(evidence->path, "re");
    struct error reason;

    if (file == NULL) {
        return fail_errno(err, ERROR_NOT_FOUND, "%s cannot be read", evidence->path);
    }
    const size_t length = fread(text, 1, FILE_MAX, file);
    if (length == FILE_MAX || ferror(file) != 0 || !json_check(text, length, &reason)) {
        return fail(err, ERROR_INVALID_REQUEST,
                    "no evidence (it is no JSON of less than 64 KiB): " MAKE_IT_AGAIN,
                    evidence->path);
    }
    evidence->json = cJSON_ParseWithLength(text, length);
    return true;
}

static bool fail_member(const struct evidence *evidence, const char *name, struct error *err)
{
    return fail(err, ERROR_INVALID_REQUEST,
                "no evidence (its member \"%s\" is missing or malformed): " MAKE_IT_AGAIN, name,
                evidence->path);
}

/* Whoever wrote the file must not write our lines on the reader's screen. */
static bool is_one_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool read_members(struct evidence *evidence, struct error *err)
{
    const struct {
        const char *name;
        const char **value_out;
    } members[] = {
        { "kid", &evidence->kid },           { "algorithm", &evidence->algorithm },
        { "provider", &evidence->provider }, { "made_at", &evidence->made_at },
        { "signer", &evidence->signer },     { "key", &evidence->key },
        { "device", &evidence->device },     { "attributes", &evidence->attributes },
    };
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(evidence->json, "version");
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(evidence->json, "jwk");

    if (!cJSON_IsNumber(version) || version->valueint != FORMAT) {
        return fail_member(evidence, "version", err);
    }
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        *members[i].value_out =
            cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(evidence->json, members[i].name));
        if (*members[i].value_out == NULL || !is_one_line(*members[i].value_out)) {
            return fail_member(evidence, members[i].name, err);
        }
    }
    if (!cJSON_IsObject(jwk)) {
        return fail_member(evidence, "jwk", err);
    }
    evidence->jwk = cJSON_PrintUnformatted(jwk);
    return true;
}

static bool read_evidence(const char *directory, const char *kid, struct evidence *evidence,
                          struct error *err)
{
    if (!find_file(directory, kid, evidence, err) || !parse_file(evidence, err)
        || !read_members(evidence, err)) {
        return false;
    }
    const char *name = strrchr(evidence->path, '/') + 1;
    return (strlen(evidence->kid) == KID_LENGTH && is_evidence_of(name, evidence->kid))
        || fail(err, ERROR_INVALID_REQUEST, "the kid inside is %.43s, not that of %s",
                evidence->kid, evidence->path);
}

/* ---- PKCS#11: nothing but the module's word, so all that can be checked is the kid ---- */

/* The members of a thumbprint in their order (RFC 7638 3.2, RFC 8037 2). */
static bool add_thumbprint_members(const cJSON *jwk, const char *kty, struct text *text)
{
    static const char *const types[][6] = { { "EC", "crv", "kty", "x", "y", NULL },
                                            { "OKP", "crv", "kty", "x", NULL },
                                            { "RSA", "e", "kty", "n", NULL } };
    size_t type = 0;

    while (type < COUNT_OF(types) && strcmp(types[type][0], kty) != 0) {
        type++;
    }
    if (type == COUNT_OF(types)) {
        return false;
    }
    for (const char *const *name = &types[type][1]; *name != NULL; name++) {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, *name));
        if (value == NULL) {
            return false;
        }
        text_add(text, name == &types[type][1] ? "{" : ",");
        text_add_json_string(text, *name);
        text_add(text, ":");
        text_add_json_string(text, value);
    }
    text_add(text, "}");
    return !text->overflowed;
}

static bool check_thumbprint(const struct evidence *evidence, struct error *err)
{
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(evidence->json, "jwk");
    const char *kty = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(jwk, "kty"));
    char buffer[JWK_MAX];
    char kid[KID_LENGTH + 1];
    struct text members = text_over(buffer, sizeof(buffer));
    struct text thumbprint = text_over(kid, sizeof(kid));

    if (kty == NULL || !add_thumbprint_members(jwk, kty, &members)) {
        return fail_member(evidence, "jwk", err);
    }
    const struct digest digest = sha256(members.start, members.length);
    text_add_base64url(&thumbprint, digest.bytes, sizeof(digest.bytes));
    return strcmp(kid, evidence->kid) == 0
        || fail(err, ERROR_KEY_POLICY, "the JWK is of another key: its thumbprint is %s", kid);
}

/* ---- TPM: an attestation ---- */

struct octets {
    uint8_t bytes[FIELD_MAX];
    size_t length;
};

struct name {
    uint8_t bytes[NAME_LENGTH];
    char hex[2 * NAME_LENGTH + 1];
};

struct attestation {
    struct octets key_octets, ak_octets, attest_octets, signature_octets;
    TPM2B_PUBLIC key, ak;
    TPMS_ATTEST attest;
    TPMT_SIGNATURE signature;
    struct name key_name, ak_name;
};

static bool read_octets(const struct evidence *evidence, const char *name,
                        struct octets *octets_out, struct error *err)
{
    const cJSON *tpm = cJSON_GetObjectItemCaseSensitive(evidence->json, "tpm");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tpm, name));

    return (text != NULL
            && base64url_decode(text, strlen(text), octets_out->bytes, sizeof(octets_out->bytes),
                                &octets_out->length))
        || fail_member(evidence, name, err);
}

/* A name is of all that the public area says: so nothing may follow it, or be left out. */
static bool read_public(const struct evidence *evidence, const char *member, struct octets *octets,
                        TPM2B_PUBLIC *public_out, struct name *name_out, struct error *err)
{
    size_t offset = 0;

    if (!read_octets(evidence, member, octets, err)) {
        return false;
    }
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(octets->bytes, octets->length, &offset, public_out)
            != TSS2_RC_SUCCESS
        || offset != octets->length || public_out->size != octets->length - sizeof(uint16_t)
        || public_out->publicArea.nameAlg != TPM2_ALG_SHA256) {
        return fail_member(evidence, member, err);
    }
    const struct digest digest = sha256(octets->bytes + sizeof(uint16_t), public_out->size);
    name_out->bytes[0] = TPM2_ALG_SHA256 >> 8;
    name_out->bytes[1] = TPM2_ALG_SHA256 & 0xff;
    memcpy(name_out->bytes + 2, digest.bytes, sizeof(digest.bytes));
    for (size_t i = 0; i < NAME_LENGTH; i++) {
        (void)snprintf(name_out->hex + 2 * i, 3, "%02x", name_out->bytes[i]);
    }
    return true;
}

static bool read_attestation(const struct evidence *evidence, struct attestation *self,
                             struct error *err)
{
    size_t attest_end = 0;
    size_t signature_end = 0;

    if (!read_public(evidence, "public", &self->key_octets, &self->key, &self->key_name, err)
        || !read_public(evidence, "ak_public", &self->ak_octets, &self->ak, &self->ak_name, err)
        || !read_octets(evidence, "attest", &self->attest_octets, err)
        || !read_octets(evidence, "signature", &self->signature_octets, err)) {
        return false;
    }
    if (Tss2_MU_TPMS_ATTEST_Unmarshal(self->attest_octets.bytes, self->attest_octets.length,
                                      &attest_end, &self->attest)
            != TSS2_RC_SUCCESS
        || attest_end != self->attest_octets.length) {
        return fail_member(evidence, "attest", err);
    }
    if (Tss2_MU_TPMT_SIGNATURE_Unmarshal(self->signature_octets.bytes,
                                         self->signature_octets.length, &signature_end,
                                         &self->signature)
            != TSS2_RC_SUCCESS
        || signature_end != self->signature_octets.length) {
        return fail_member(evidence, "signature", err);
    }
    return true;
}

/* A restricted key signs nothing that begins like an attestation unless its TPM made it (Part 1
 * 31.5); so only its word on what is inside the TPM counts. */
static bool check_attestation_key(const struct attestation *self, const struct ctl_options *options,
                                  struct error *err)
{
    static const struct {
        TPMA_OBJECT bit;
        bool wanted;
        const char *name;
    } policy[] = {
        { TPMA_OBJECT_RESTRICTED, true, "restricted" },
        { TPMA_OBJECT_SIGN_ENCRYPT, true, "sign" },
        { TPMA_OBJECT_DECRYPT, false, "decrypt" },
        { TPMA_OBJECT_FIXEDTPM, true, "fixedTPM" },
        { TPMA_OBJECT_SENSITIVEDATAORIGIN, true, "sensitiveDataOrigin" },
    };
    const TPMA_OBJECT attributes = self->ak.publicArea.objectAttributes;

    for (size_t i = 0; i < COUNT_OF(policy); i++) {
        if (((attributes & policy[i].bit) != 0) != policy[i].wanted) {
            return fail(err, ERROR_KEY_POLICY, "the attestation key proves nothing: %s is %s",
                        policy[i].name, policy[i].wanted ? "clear" : "set");
        }
    }
    return options->ak_name == NULL || strcasecmp(options->ak_name, self->ak_name.hex) == 0
        || fail(err, ERROR_KEY_POLICY, "the attestation key is another one: its Name is %s",
                self->ak_name.hex);
}

static bool check_statement(const struct attestation *self, struct error *err)
{
    const TPM2B_NAME *certified = &self->attest.attested.certify.name;

    if (self->attest.magic != TPM2_GENERATED_VALUE) {
        return fail(err, ERROR_KEY_POLICY,
                    "the attestation was not made by a TPM: its magic is 0x%08x",
                    self->attest.magic);
    }
    if (self->attest.type != TPM2_ST_ATTEST_CERTIFY) {
        return fail(err, ERROR_KEY_POLICY,
                    "the attestation does not certify a key: its type is 0x%04x",
                    self->attest.type);
    }
    return (certified->size == NAME_LENGTH
            && memcmp(certified->name, self->key_name.bytes, NAME_LENGTH) == 0)
        || fail(err, ERROR_KEY_POLICY,
                "the attestation certifies another key: its Name is not the public area's");
}

/* tpm-key.sh's attestation key is P-256 with SHA-256: what JOSE calls ES256. */
static bool check_signature(const struct attestation *self, struct error *err)
{
    scoped(release_key) EVP_PKEY *ak = NULL;
    scoped(release_verifier) struct jws_verifier *verifier = NULL;
    struct signature signature;

    if (self->signature.signature.any.hashAlg != TPM2_ALG_SHA256) {
        return fail(err, ERROR_KEY_POLICY, "the attestation's signature is not over SHA-256");
    }
    if (!tpm_public_read_key(&self->ak.publicArea, "the attestation key", &ak, err)
        || !jws_verifier_new(ak, JOSE_ES256, &verifier, err)
        || !tpm_signature_read(&self->signature, JOSE_ES256, &signature, err)) {
        return error_context(err, "the attestation's signature cannot be checked");
    }
    return jws_verify(verifier, self->attest_octets.bytes, self->attest_octets.length, &signature)
        || fail(err, ERROR_KEY_POLICY,
                "the attestation's signature is not by the attestation key, or not over this "
                "attestation");
}

static bool check_certified_key(const struct evidence *evidence, const struct attestation *self,
                                struct error *err)
{
    scoped(release_key) EVP_PKEY *key = NULL;
    struct jwk jwk;

    if (!tpm_public_check_policy(&self->key.publicArea, "the certified key", err)
        || !tpm_public_read_key(&self->key.publicArea, "the certified key", &key, err)
        || !jwk_from_key(key, jose_algorithm_from_name(evidence->algorithm), &jwk, err)) {
        return false;
    }
    if (strcmp(jwk.kid, evidence->kid) != 0) {
        return fail(err, ERROR_KEY_POLICY, "the certified key is another one: its kid is %s",
                    jwk.kid);
    }
    return strcmp(jwk.json, evidence->jwk) == 0
        || fail(err, ERROR_KEY_POLICY, "the file's JWK is not the certified key's");
}

static bool check_attestation(const struct evidence *evidence, const struct ctl_options *options,
                              struct attestation *self, struct error *err)
{
    return (read_attestation(evidence, self, err) && check_attestation_key(self, options, err)
            && check_statement(self, err) && check_signature(self, err)
            && check_certified_key(evidence, self, err))
        || error_context(err, "evidence of %s", evidence->kid);
}

/* ---- what it comes to ---- */

static void print_head(const struct evidence *evidence)
{
    printf("key         %s %s, signer %s\n", evidence->kid, evidence->algorithm, evidence->signer);
    printf("is          %s\n", evidence->key);
    printf("made        %s, by the machine's clock\n", evidence->made_at);
    printf("device      %s\n", evidence->device);
}

static void print_self_asserted(const struct evidence *evidence)
{
    print_head(evidence);
    printf("attributes  %s\n", evidence->attributes);
    printf(
        "proven      that the JWK is the one that the kid names\n"
        "not proven  all else is SELF-ASSERTED: device and attributes are the module's own word.\n"
        "            PKCS#11 has no attestation; ask the device's maker for his.\n");
}

static void print_proven(const struct evidence *evidence, const struct attestation *self,
                         const char *attributes, const struct ctl_options *options)
{
    print_head(evidence);
    printf("attributes  %s\n", attributes);
    printf(
        "proven      by TPM2_Certify: the key was made inside the TPM that holds the attestation "
        "key,\n"
        "            cannot leave it, does nothing but sign, and is the one that the kid names;\n"
        "            that TPM's firmware is %08x.%08x\n",
        (unsigned)(self->attest.firmwareVersion >> 32), (unsigned)self->attest.firmwareVersion);
    printf("attested by %s\n", self->ak_name.hex);
    if (options->ak_name != NULL) {
        printf("            which is the Name given as --ak-name\n");
    } else {
        printf(
            "not proven  whose TPM that is: compare this Name with the attestation key that was\n"
            "            enrolled for the device, or give that one's as --ak-name\n");
    }
}

static void add_member(struct text *text, const char *name, const char *value)
{
    text_add(text, text->length > 1 ? "," : "");
    text_add_json_string(text, name);
    text_add(text, ":");
    text_add_json_string(text, value);
}

static void print_json(const struct evidence *evidence, const char *proof, const char *attributes,
                       const struct attestation *attestation, const struct ctl_options *options)
{
    scoped(release_memory) char *buffer = xcalloc(1, FILE_MAX);
    struct text text = text_over(buffer, FILE_MAX);

    text_add(&text, "{");
    add_member(&text, "kid", evidence->kid);
    add_member(&text, "algorithm", evidence->algorithm);
    add_member(&text, "provider", evidence->provider);
    add_member(&text, "made_at", evidence->made_at);
    add_member(&text, "device", evidence->device);
    add_member(&text, "attributes", attributes);
    add_member(&text, "proof", proof);
    if (attestation != NULL) {
        add_member(&text, "ak_name", attestation->ak_name.hex);
        text_add(&text, ",\"ak_is_the_one_given\":");
        text_add(&text, options->ak_name != NULL ? "true" : "false");
    }
    text_add(&text, "}\n");
    printf("%s", buffer);
}

static bool judge_tpm(const struct evidence *evidence, const struct ctl_options *options,
                      struct error *err)
{
    scoped(release_memory) struct attestation *attestation = xcalloc(1, sizeof(*attestation));
    char buffer[400];
    struct text attributes = text_over(buffer, sizeof(buffer));

    if (!check_attestation(evidence, options, attestation, err)) {
        return false;
    }
    tpm_public_print_attributes(&attestation->key.publicArea, &attributes);
    if (options->json) {
        print_json(evidence, "TPM2_Certify", buffer, attestation, options);
    } else {
        print_proven(evidence, attestation, buffer, options);
    }
    return true;
}

static bool judge_pkcs11(const struct evidence *evidence, const struct ctl_options *options,
                         struct error *err)
{
    if (options->ak_name != NULL) {
        return fail(err, ERROR_KEY_POLICY, "--ak-name: a PKCS#11 key has no attestation");
    }
    if (!check_thumbprint(evidence, err)) {
        return error_context(err, "evidence of %s", evidence->kid);
    }
    if (options->json) {
        print_json(evidence, "self-asserted", evidence->attributes, NULL, options);
    } else {
        print_self_asserted(evidence);
    }
    return true;
}

static bool judge(const struct evidence *evidence, const struct ctl_options *options,
                  struct error *err)
{
    if (strcmp(evidence->provider, "tpm") == 0) {
        return judge_tpm(evidence, options, err);
    }
    if (strcmp(evidence->provider, "pkcs11") == 0) {
        return judge_pkcs11(evidence, options, err);
    }
    return fail_member(evidence, "provider", err);
}

int keys_evidence(const char *directory, const char *kid, const struct ctl_options *options)
{
    scoped(evidence_clear) struct evidence evidence = { .json = NULL };
    struct error err = { .code = ERROR_NONE };

    if (!read_evidence(directory, kid, &evidence, &err) || !judge(&evidence, options, &err)) {
        (void)ctl_complain(&err);
        return CTL_REFUSED;
    }
    return EX_OK;
}
