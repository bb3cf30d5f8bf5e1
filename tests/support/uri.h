/* Paths inside PKCS#11 URIs. */
#pragma once

struct uri_path {
    char text[1024];
};

/* The path as it stands in a URI: blanks, which the tests' directories have, become %20. */
struct uri_path uri_path(const char *path);
