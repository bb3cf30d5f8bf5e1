/* What paths yield, in order, and what is no path, by the byte where it stops being one. */
#include "vc/json_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "support/run.h"

static struct {
    cJSON *root;
    struct json_path *path;
    struct effort effort;
    char yielded[512];
    struct text list;
} fixture;

static void set_up(void)
{
    fixture.root = cJSON_Parse("{\"a\":1,\"b\":{\"a\":2,\"c\":[{\"a\":3},[4,5],6]},"
                               "\"it's\":7,\"\\\"\":8,\"d.e\":9,\"caf\xc3\xa9\":10,"
                               "\"\xf0\x9f\x94\x91\":11,\"\\n\":12,\"\":13,\"0\":14}");
    fixture.path = NULL;
    fixture.effort.left = EFFORT_MAX;
}

static void tear_down(void)
{
    cJSON_Delete(fixture.root);
    json_path_free(fixture.path);
}

/* Lists every node, accepts none. */
static bool list_node(const cJSON *node, void *context)
{
    struct text *list = context;
    char *json = cJSON_PrintUnformatted(node);
    text_add(list, list->length > 0 ? " " : "");
    text_add(list, json);
    free(json);
    return false;
}

/* The nodes that the path yields, space between; NULL: it is no path. */
static const char *yields(const char *text)
{
    size_t stop;

    json_path_free(fixture.path);
    fixture.path = NULL;
    if (!json_path_parse(text, &fixture.path, &stop)) {
        return NULL;
    }
    fixture.list = text_over(fixture.yielded, sizeof(fixture.yielded));
    (void)json_path_find(fixture.path, fixture.root, list_node, &fixture.list, &fixture.effort);
    return fixture.yielded;
}

struct sample {
    const char *path;
    const char *nodes;
};

static void check_samples(const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *nodes = yields(samples[i].path);
        if (nodes == NULL || strcmp(nodes, samples[i].nodes) != 0) {
            printf("%s: %s\n", samples[i].path, nodes == NULL ? "(no path)" : nodes);
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(nodes);
        CU_ASSERT_STRING_EQUAL(nodes, samples[i].nodes);
    }
}

static void test_names_and_indices_yield_one_node(void)
{
    static const struct sample SAMPLES[] = {
        { "$.a", "1" },      { "$.b.a", "2" },          { "$['a']", "1" },
        { "$[\"a\"]", "1" }, { "$[ 'b' ]['a']", "2" },  { "$.b.c[0].a", "3" },
        { "$.b.c[2]", "6" }, { "$.b.c[1][0]", "4" },    { "$['b'].c[1]", "[4,5]" },
        { "$['d.e']", "9" }, { "$.caf\xc3\xa9", "10" }, { "$['']", "13" },
        { "$['0']", "14" },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_the_root_alone_yields_everything(void)
{
    cJSON_Delete(fixture.root);
    fixture.root = cJSON_Parse("[1]");
    CU_ASSERT_STRING_EQUAL(yields("$"), "[1]");
}

static void test_escapes_in_names_are_read(void)
{
    static const struct sample SAMPLES[] = {
        { "$['it\\'s']", "7" },      { "$[\"it's\"]", "7" },          { "$['\"']", "8" },
        { "$[\"\\\"\"]", "8" },      { "$['\\u0061']", "1" },         { "$['caf\\u00e9']", "10" },
        { "$['caf\\u00E9']", "10" }, { "$['\\ud83d\\uDD11']", "11" }, { "$['\\n']", "12" },
        { "$['\\u000a']", "12" },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_what_is_not_there_yields_nothing(void)
{
    static const struct sample SAMPLES[] = {
        { "$.A", "" },    { "$.x", "" },    { "$.a.a", "" },      { "$[0]", "" },
        { "$.a[0]", "" }, { "$.b[0]", "" }, { "$.b.c[3]", "" },   { "$.b.c.a", "" },
        { "$.a.*", "" },  { "$..x", "" },   { "$.b.c['0']", "" }, { "$..[9]", "" },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_a_wildcard_yields_every_child(void)
{
    static const struct sample SAMPLES[] = {
        { "$.b.c.*", "{\"a\":3} [4,5] 6" },
        { "$.b.c[*]", "{\"a\":3} [4,5] 6" },
        { "$.b[ * ]", "2 [{\"a\":3},[4,5],6]" },
        { "$.b.c[*].a", "3" },
        { "$.b.c[*][*]", "3 4 5" },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static void test_a_descent_yields_what_is_below_nodes_before_their_children(void)
{
    static const struct sample SAMPLES[] = {
        { "$..a", "1 2 3" },
        { "$..['a']", "1 2 3" },
        { "$..[\"a\"]", "1 2 3" },
        { "$..[0]", "{\"a\":3} 4" },
        { "$.b.c..*", "{\"a\":3} [4,5] 6 3 4 5" },
        { "$.b.c..[*]", "{\"a\":3} [4,5] 6 3 4 5" },
        { "$.b..a", "2 3" },
        { "$..c..a", "3" },
        { "$..c[0]", "{\"a\":3}" },
    };
    check_samples(SAMPLES, COUNT_OF(SAMPLES));
}

static bool accept_two(const cJSON *node, void *context)
{
    unsigned *seen = context;
    ++*seen;
    return node->valuedouble == 2;
}

static void test_a_walk_ends_at_the_node_that_is_accepted(void)
{
    unsigned seen = 0;
    size_t stop;

    CU_ASSERT_TRUE_FATAL(json_path_parse("$..a", &fixture.path, &stop));
    CU_ASSERT_TRUE(json_path_find(fixture.path, fixture.root, accept_two, &seen, &fixture.effort));
    CU_ASSERT_EQUAL(seen, 2);
}

static void test_what_is_no_path_is_refused_where_it_stops_being_one(void)
{
    static const struct {
        const char *path;
        size_t stop;
    } SAMPLES[] = {
        { "", 0 },
        { "a", 0 },
        { "@.a", 0 },
        { " $.a", 0 },
        { "$a", 1 },
        { "$ .a", 1 },
        { "$.", 2 },
        { "$..", 3 },
        { "$...a", 3 },
        { "$.a.", 4 },
        { "$.a ", 3 },
        { "$.1a", 2 },
        { "$.a-b", 3 },
        { "$.@context", 2 },
        { "$.a\x01", 3 },
        { "$[", 2 },
        { "$[]", 2 },
        { "$[a]", 2 },
        { "$[0", 3 },
        { "$[-1]", 2 },
        { "$[01]", 2 },
        { "$[123456]", 2 },
        { "$[0,1]", 3 },
        { "$[0:1]", 3 },
        { "$[:1]", 2 },
        { "$['a','b']", 5 },
        { "$['a'", 5 },
        { "$['a]", 5 },
        { "$['a\"]", 6 },
        { "$['\x01']", 3 },
        { "$['a\\", 5 },
        { "$['\\\"']", 4 },
        { "$[\"\\'\"]", 4 },
        { "$['\\x']", 4 },
        { "$['\\u0000']", 9 },
        { "$['\\u12']", 7 },
        { "$['\\ud800']", 9 },
        { "$['\\ud800\\u0041']", 15 },
        { "$['\\udc00']", 9 },
        { "$[?(@.a)]", 2 },
        { "$[?@.a==1]", 2 },
        { "$[(@.length-1)]", 2 },
        { "$.length()", 8 },
        { "$.a^", 3 },
        { "$.*.*~", 5 },
    };
    for (size_t i = 0; i < COUNT_OF(SAMPLES); i++) {
        size_t stop = 999;
        CU_ASSERT_FALSE_FATAL(json_path_parse(SAMPLES[i].path, &fixture.path, &stop));
        if (stop != SAMPLES[i].stop) {
            printf("%s: %zu\n", SAMPLES[i].path, stop);
        }
        CU_ASSERT_EQUAL(stop, SAMPLES[i].stop);
    }
}

static void test_paths_are_bounded(void)
{
    char text[JSON_PATH_MAX + 2];
    size_t stop = 0;

    memset(text, 'a', sizeof(text));
    memcpy(text, "$.", 2);
    text[JSON_PATH_MAX + 1] = '\0';
    CU_ASSERT_FALSE(json_path_parse(text, &fixture.path, &stop));
    CU_ASSERT_EQUAL(stop, JSON_PATH_MAX);
    text[JSON_PATH_MAX] = '\0';
    CU_ASSERT_STRING_EQUAL(yields(text), "");

    CU_ASSERT_STRING_EQUAL(yields("$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"), "");
    json_path_free(fixture.path);
    fixture.path = NULL;
    CU_ASSERT_FALSE(json_path_parse("$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", &fixture.path, &stop));
    CU_ASSERT_EQUAL(stop, 33);
}

/* [[[...],[...]],...]: `width` arrays in each, `depth` deep. */
static cJSON *bush(int width, int depth)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; depth > 0 && i < width; i++) {
        (void)cJSON_AddItemToArray(array, bush(width, depth - 1));
    }
    return array;
}

static bool count_node(const cJSON *node, void *context)
{
    unsigned *seen = context;
    (void)node;
    ++*seen;
    return false;
}

static void test_descents_in_descents_end_with_the_effort(void)
{
    unsigned seen = 0;
    size_t stop;

    cJSON_Delete(fixture.root);
    fixture.root = bush(2, 11); /* 4095 arrays: as many values as json_check() lets through */
    CU_ASSERT_TRUE_FATAL(json_path_parse("$..*", &fixture.path, &stop));
    CU_ASSERT_FALSE(json_path_find(fixture.path, fixture.root, count_node, &seen, &fixture.effort));
    CU_ASSERT_EQUAL(seen, 4094);
    CU_ASSERT_EQUAL(fixture.effort.left, EFFORT_MAX - 4094);

    json_path_free(fixture.path);
    fixture.path = NULL;
    CU_ASSERT_TRUE_FATAL(json_path_parse("$..*..*..*..*..*..*..*", &fixture.path, &stop));
    CU_ASSERT_FALSE(json_path_find(fixture.path, fixture.root, count_node, &seen, &fixture.effort));
    CU_ASSERT_TRUE(effort_is_spent(&fixture.effort));
    CU_ASSERT_TRUE(seen < 4094 + EFFORT_MAX);
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "names and indices yield one node", test_names_and_indices_yield_one_node },
        { "the root alone yields everything", test_the_root_alone_yields_everything },
        { "escapes in names are read", test_escapes_in_names_are_read },
        { "what is not there yields nothing", test_what_is_not_there_yields_nothing },
        { "a wildcard yields every child", test_a_wildcard_yields_every_child },
        { "a descent yields what is below, nodes before their children",
          test_a_descent_yields_what_is_below_nodes_before_their_children },
        { "a walk ends at the node that is accepted",
          test_a_walk_ends_at_the_node_that_is_accepted },
        { "what is no path is refused where it stops being one",
          test_what_is_no_path_is_refused_where_it_stops_being_one },
        { "paths are bounded", test_paths_are_bounded },
        { "descents in descents end with the effort",
          test_descents_in_descents_end_with_the_effort },
        CU_TEST_INFO_NULL,
    };
    return run_suite("json_path", set_up, tear_down, tests);
}
