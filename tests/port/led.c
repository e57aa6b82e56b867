/*
 * led.c - LED, the Longformer Encoder-Decoder, in C99 and libm alone.
 *
 * This port was written from docs/porting.md, the pages that it names, and a kit alone, without a look at pyled's code.
 * `pyled kit run` calls it as
 *
 *     led PART CASE OUT
 *
 * PART is forward, gradients, generate or refuse; the part tokenize is not done (exit status 64). CASE is a folder
 * with config.json and inputs.safetensors. The results go into the file OUT, in the safetensors format.
 *
 * The program computes in float64. With -DLED_FLOAT32 it computes and writes float32.
 *
 *     cc -std=c99 -O2 -Wall -Wextra -o led led.c -lm
 *
 * The file has these parts, in this order:
 *
 *     1  memory, errors, files          5  the forward pass: layers, stacks, heads, losses
 *     2  JSON                           6  the backward pass
 *     3  safetensors                    7  generation
 *     4  the model and its weights      8  the parts of the kit, and main
 *
 * Letters: B documents, S source tokens, T target tokens, E d_model, H heads, D = E / H, F size of the feed-forward,
 * V vocabulary, G the largest number of global tokens of a document. All arrays are in C order. A comment such as
 * (B, S, E) names the shape of an array.
 */
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LED_FLOAT32
typedef float real;
#define REAL_TYPE "F32"
#else
typedef double real;
#define REAL_TYPE "F64"
#endif

enum { ENCODER, DECODER };
enum { NAME_SIZE = 128, MOST_DIMS = 32, DEEPEST = 200, NOT_DONE = 64 };

/* ------------------------------------------------------------------------------------------------------------------
 * 1  Memory, errors, files
 *
 * All memory lies on one stack of blocks. release(mark) frees every block that is newer than the mark. So no function
 * frees single blocks, nothing is freed twice, and what a search needs for one step lives for one step only.
 * --------------------------------------------------------------------------------------------------------------- */

typedef union Block {
    union Block *before;
    long double alignment;
} Block;

static Block *newest;

static void release(Block *mark)
{
    while (newest != mark) {
        Block *before = newest->before;
        free(newest);
        newest = before;
    }
}

static void release_all(void)
{
    release(NULL);
}

/* refuse ends the program. The rule is a code of docs/checkpoint.md, section 3, or a word of this program. */
static void refuse(const char *rule, const char *what)
{
    printf("%s\n", rule);
    fprintf(stderr, "%s: %s\n", rule, what);
    exit(1);
}

/* memory gives count * size bytes, all of them 0. */
static void *memory(size_t count, size_t size)
{
    Block *block;
    if (size != 0 && count > (SIZE_MAX - sizeof(Block)) / size)
        refuse("memory", "an array is larger than the address space");
    block = calloc(1, sizeof(Block) + count * size);
    if (block == NULL)
        refuse("memory", "the system has no memory left");
    block->before = newest;
    newest = block;
    return block + 1;
}

/* reals gives an array of a * b * c numbers. The factors are sizes that were checked to be at least 0. */
static real *reals(long a, long b, long c)
{
    size_t rows = (size_t)a * (size_t)b;
    if (a < 0 || b < 0 || c < 0 || (b != 0 && rows / (size_t)b != (size_t)a))
        refuse("memory", "an array is larger than the address space");
    if (c != 0 && rows > SIZE_MAX / (size_t)c)
        refuse("memory", "an array is larger than the address space");
    return memory(rows * (size_t)c, sizeof(real));
}

typedef struct {
    unsigned char *bytes;
    size_t size;
} Bytes;

static FILE *open_in(const char *folder, const char *name)
{
    char *path = memory(strlen(folder) + strlen(name) + 2, 1);
    sprintf(path, "%s/%s", folder, name);
    return fopen(path, "rb");
}

static int exists(const char *folder, const char *name)
{
    FILE *file = open_in(folder, name);
    if (file != NULL)
        fclose(file);
    return file != NULL;
}

static Bytes read_file(const char *folder, const char *name)
{
    Bytes read = {NULL, 0};
    FILE *file = open_in(folder, name);
    long size;
    if (file == NULL)
        refuse("no-file", name);
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
        refuse("unreadable", name);
    if (size == LONG_MAX) /* a folder, on Linux */
        refuse("unreadable", name);
    read.size = (size_t)size;
    read.bytes = memory(read.size + 1, 1);
    if (fread(read.bytes, 1, read.size, file) != read.size)
        refuse("changed", name);
    fclose(file);
    if (read.size >= 23 && memcmp(read.bytes, "version https://git-lfs", 23) == 0)
        refuse("git-lfs", name);
    return read;
}

/* ------------------------------------------------------------------------------------------------------------------
 * 2  JSON
 *
 * The reader makes a tree. It is strict: each thing that two JSON readers could read differently is refused.
 * --------------------------------------------------------------------------------------------------------------- */

typedef enum { J_NULL, J_FALSE, J_TRUE, J_INTEGER, J_FLOAT, J_STRING, J_LIST, J_OBJECT } Kind;

typedef struct Json {
    Kind kind;
    int64_t integer;
    double number;       /* of J_INTEGER, too */
    char *text;          /* of J_STRING; a 0 stands behind it */
    size_t length;       /* bytes of text */
    char *key;           /* of a member of an object */
    size_t key_length;
    struct Json *first;  /* of J_LIST and J_OBJECT */
    struct Json *next;   /* the next member of the same list or object */
    size_t count;        /* members */
} Json;

typedef struct {
    const unsigned char *at, *end;
    int depth;
} Reader;

/* is_utf8 knows overlong forms, surrogates, and numbers above 0x10FFFF; it takes none of them. */
static int is_utf8(const unsigned char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        unsigned char c = text[i++];
        unsigned char low = 0x80, high = 0xBF;
        int more = c < 0x80 ? 0 : c >= 0xC2 && c <= 0xDF ? 1 : c >= 0xE0 && c <= 0xEF ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : -1;
        if (more < 0 || size - i < (size_t)more)
            return 0;
        if (c == 0xE0) low = 0xA0;
        if (c == 0xED) high = 0x9F;
        if (c == 0xF0) low = 0x90;
        if (c == 0xF4) high = 0x8F;
        for (; more > 0; more--, low = 0x80, high = 0xBF)
            if (text[i] < low || text[i++] > high)
                return 0;
    }
    return 1;
}

static void skip_space(Reader *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static int next_is(Reader *in, char c)
{
    if (in->at >= in->end || *in->at != (unsigned char)c)
        return 0;
    in->at++;
    return 1;
}

static int next_is_word(Reader *in, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0)
        return 0;
    in->at += size;
    return 1;
}

static unsigned hex4(Reader *in)
{
    unsigned value = 0;
    int i;
    for (i = 0; i < 4; i++) {
        int c = in->at < in->end ? *in->at++ : 0;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            refuse("not-json", "\\u without four hexadecimal digits");
        value = value * 16 + (unsigned)digit;
    }
    return value;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* read_string begins behind the first quote. An escape is never shorter than what it stands for. */
static char *read_string(Reader *in, size_t *length)
{
    const unsigned char *quote = in->at;
    char *text, *out;
    while (quote < in->end && *quote != '"')
        quote += *quote == '\\' && quote + 1 < in->end ? 2 : 1;
    out = text = memory((size_t)(quote - in->at) + 1, 1);
    for (;;) {
        int c = in->at < in->end ? *in->at++ : -1;
        if (c < 0x20)
            refuse("not-json", "a string without its end, or with a control character");
        if (c == '"')
            break;
        if (c != '\\') {
            *out++ = (char)c;
            continue;
        }
        c = in->at < in->end ? *in->at++ : -1;
        if (c == '"' || c == '\\' || c == '/') *out++ = (char)c;
        else if (c == 'b') *out++ = '\b';
        else if (c == 'f') *out++ = '\f';
        else if (c == 'n') *out++ = '\n';
        else if (c == 'r') *out++ = '\r';
        else if (c == 't') *out++ = '\t';
        else if (c == 'u') {
            unsigned high = hex4(in), low;
            if (high >= 0xD800 && high <= 0xDBFF) {
                if (!next_is_word(in, "\\u"))
                    refuse("lone-surrogate", "the first half of a surrogate pair is alone");
                low = hex4(in);
                if (low < 0xDC00 || low > 0xDFFF)
                    refuse("lone-surrogate", "the first half of a surrogate pair is alone");
                high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            } else if (high >= 0xDC00 && high <= 0xDFFF) {
                refuse("lone-surrogate", "the second half of a surrogate pair is alone");
            }
            out = put_utf8(out, high);
        } else {
            refuse("not-json", "an unknown escape");
        }
    }
    *length = (size_t)(out - text);
    return text;
}

static size_t skip_digits(Reader *in)
{
    const unsigned char *begin = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return (size_t)(in->at - begin);
}

static void read_number(Reader *in, Json *value)
{
    const unsigned char *begin = in->at;
    int negative = next_is(in, '-');
    const unsigned char *first = in->at;
    size_t digits, size;
    char *copy;
    if (next_is_word(in, "Infinity"))
        refuse("nan", "-Infinity is no number of JSON");
    digits = skip_digits(in);
    if (digits == 0 || (*first == '0' && digits > 1))
        refuse("not-json", "a number of another form");
    value->kind = J_INTEGER;
    if (next_is(in, '.')) {
        value->kind = J_FLOAT;
        if (skip_digits(in) == 0)
            refuse("not-json", "a number without digits behind its point");
    }
    if (next_is(in, 'e') || next_is(in, 'E')) {
        value->kind = J_FLOAT;
        if (!next_is(in, '+'))
            next_is(in, '-');
        if (skip_digits(in) == 0)
            refuse("not-json", "a number without digits in its exponent");
    }
    size = (size_t)(in->at - begin);
    copy = memory(size + 1, 1);
    memcpy(copy, begin, size);
    value->number = strtod(copy, NULL);
    if (value->kind == J_FLOAT) {
        if (value->number - value->number != 0)
            refuse("float-range", copy);
        return;
    }
    if (digits > 18 || (negative && *first == '0'))
        refuse("integer", copy);
    for (; first < in->at; first++)
        value->integer = value->integer * 10 + (*first - '0');
    if (negative)
        value->integer = -value->integer;
}

static int compare_keys(const void *a, const void *b)
{
    const Json *x = *(const Json *const *)a, *y = *(const Json *const *)b;
    size_t least = x->key_length < y->key_length ? x->key_length : y->key_length;
    int order = memcmp(x->key, y->key, least);
    return order != 0 ? order : x->key_length < y->key_length ? -1 : x->key_length > y->key_length;
}

static void refuse_duplicates(const Json *object)
{
    const Json **sorted = memory(object->count + 1, sizeof *sorted);
    const Json *member;
    size_t i = 0;
    for (member = object->first; member != NULL; member = member->next)
        sorted[i++] = member;
    qsort(sorted, object->count, sizeof *sorted, compare_keys);
    for (i = 1; i < object->count; i++)
        if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
            refuse("duplicate-key", sorted[i]->key);
}

static Json *read_value(Reader *in);

/* read_members begins behind the bracket, and ends behind the closing one. */
static void read_members(Reader *in, Json *value, char close)
{
    Json **link = &value->first;
    if (++in->depth > DEEPEST)
        refuse("too-deep", "more than 200 lists and objects in one another");
    skip_space(in);
    if (!next_is(in, close)) {
        do {
            char *key = NULL;
            size_t key_length = 0;
            if (close == '}') {
                skip_space(in);
                if (!next_is(in, '"'))
                    refuse("not-json", "a member without a name in quotes");
                key = read_string(in, &key_length);
                skip_space(in);
                if (!next_is(in, ':'))
                    refuse("not-json", "a member without a colon");
            }
            *link = read_value(in);
            (*link)->key = key;
            (*link)->key_length = key_length;
            link = &(*link)->next;
            value->count++;
            skip_space(in);
        } while (next_is(in, ','));
        if (!next_is(in, close))
            refuse("not-json", "a list or an object without its end");
    }
    if (close == '}')
        refuse_duplicates(value);
    in->depth--;
}

static Json *read_value(Reader *in)
{
    Json *value = memory(1, sizeof *value);
    skip_space(in);
    if (next_is(in, '{')) {
        value->kind = J_OBJECT;
        read_members(in, value, '}');
    } else if (next_is(in, '[')) {
        value->kind = J_LIST;
        read_members(in, value, ']');
    } else if (next_is(in, '"')) {
        value->kind = J_STRING;
        value->text = read_string(in, &value->length);
    } else if (next_is_word(in, "null")) {
        value->kind = J_NULL;
    } else if (next_is_word(in, "true")) {
        value->kind = J_TRUE;
    } else if (next_is_word(in, "false")) {
        value->kind = J_FALSE;
    } else if (next_is_word(in, "NaN") || next_is_word(in, "Infinity")) {
        refuse("nan", "NaN and Infinity are no numbers of JSON");
    } else {
        read_number(in, value);
    }
    return value;
}

static Json *read_json(const unsigned char *text, size_t size)
{
    Reader in;
    Json *value;
    in.at = text;
    in.end = text + size;
    in.depth = 0;
    if (!is_utf8(text, size))
        refuse("not-utf8", "the text is no UTF-8");
    value = read_value(&in);
    skip_space(&in);
    if (in.at != in.end)
        refuse("not-json", "something stands behind the value");
    if (value->kind != J_OBJECT)
        refuse("not-an-object", "the value is no object");
    return value;
}

/* member gives the value of a key, or NULL. null counts as absent. */
static const Json *member(const Json *object, const char *key)
{
    const Json *each;
    for (each = object->first; each != NULL; each = each->next)
        if (each->key_length == strlen(key) && memcmp(each->key, key, each->key_length) == 0)
            return each->kind == J_NULL ? NULL : each;
    return NULL;
}

static int64_t integer_of(const Json *object, const char *key, int64_t otherwise)
{
    const Json *value = member(object, key);
    if (value == NULL)
        return otherwise;
    if (value->kind != J_INTEGER)
        refuse("config", key);
    return value->integer;
}

static const char *text_of(const Json *object, const char *key, const char *otherwise)
{
    const Json *value = member(object, key);
    return value != NULL && value->kind == J_STRING ? value->text : otherwise;
}

/* ------------------------------------------------------------------------------------------------------------------
 * 3  Safetensors
 * --------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int size;
} TYPES[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2}, {"I32", 4},
             {"U32", 4},  {"F32", 4}, {"C64", 8}, {"I64", 8}, {"U64", 8}, {"F64", 8}, {NULL, 0}};

/* These types are known, and not read: they have no type in C. */
static const char *const NARROW[] = {"F4",      "F6_E2M3",     "F6_E3M2",     "F8_E4M3", "F8_E5M2",
                                     "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", NULL};

typedef struct {
    const char *name;
    int type; /* an index of TYPES */
    int dims;
    int64_t shape[MOST_DIMS];
    int64_t count; /* numbers */
    int64_t begin, end;
} Entry;

typedef struct {
    const unsigned char *data;
    size_t size;
    Entry *entries;
    size_t count;
} Tensors;

static uint64_t little_endian(const unsigned char *bytes, int size)
{
    uint64_t value = 0;
    while (size-- > 0)
        value = value << 8 | bytes[size];
    return value;
}

static void check_metadata(const Json *value)
{
    const Json *each;
    if (value->kind != J_OBJECT)
        refuse("metadata", "__metadata__ is no object");
    for (each = value->first; each != NULL; each = each->next)
        if (each->kind != J_STRING)
            refuse("metadata", each->key);
}

/* refuse_floats looks at the whole header: no number in it has a point or an exponent. */
static void refuse_floats(const Json *value)
{
    const Json *each;
    if (value->kind == J_FLOAT)
        refuse("not-integer", "a number of the header is no integer");
    for (each = value->first; each != NULL; each = each->next)
        refuse_floats(each);
}

static int type_of(const char *name)
{
    int i;
    for (i = 0; NARROW[i] != NULL; i++)
        if (strcmp(NARROW[i], name) == 0)
            refuse("dtype-not-read", name);
    for (i = 0; TYPES[i].name != NULL; i++)
        if (strcmp(TYPES[i].name, name) == 0)
            return i;
    refuse("dtype", name);
    return 0;
}

static void read_entry(const Json *value, Entry *entry)
{
    const int64_t largest = ((int64_t)1 << 48) - 1; /* of a size, and of their product, where a 0 counts as 1 */
    int64_t product = 1;
    const Json *dtype, *shape, *offsets, *each;
    int item;
    entry->name = value->key;
    if (value->key_length == 0 || strlen(value->key) != value->key_length)
        refuse("name", "a name is empty, or has a NUL");
    if (value->kind != J_OBJECT || value->count != 3)
        refuse("entry", value->key);
    dtype = shape = offsets = NULL;
    for (each = value->first; each != NULL; each = each->next) {
        if (strcmp(each->key, "dtype") == 0) dtype = each;
        if (strcmp(each->key, "shape") == 0) shape = each;
        if (strcmp(each->key, "data_offsets") == 0) offsets = each;
    }
    if (dtype == NULL || shape == NULL || offsets == NULL)
        refuse("entry", value->key);
    if (dtype->kind != J_STRING || strlen(dtype->text) != dtype->length)
        refuse("dtype", value->key);
    entry->type = type_of(dtype->text);
    item = TYPES[entry->type].size;
    if (shape->kind != J_LIST || shape->count > MOST_DIMS)
        refuse("shape", value->key);
    for (each = shape->first; each != NULL; each = each->next) {
        if (each->kind != J_INTEGER || each->integer < 0 || each->integer > largest)
            refuse("shape", value->key);
        entry->shape[entry->dims++] = each->integer;
    }
    if (offsets->kind != J_LIST || offsets->count != 2)
        refuse("offsets", value->key);
    for (each = offsets->first; each != NULL; each = each->next)
        if (each->kind != J_INTEGER || each->integer < 0 || each->integer > largest)
            refuse("offsets", value->key);
    entry->begin = offsets->first->integer;
    entry->end = offsets->first->next->integer;
    if (entry->end < entry->begin)
        refuse("offsets-reversed", value->key);
    entry->count = 1;
    for (each = shape->first; each != NULL; each = each->next) {
        if (each->integer > 0 && product > largest / each->integer)
            refuse("shape-too-large", value->key);
        entry->count *= each->integer;
        product *= each->integer > 0 ? each->integer : 1;
    }
    if (entry->count * item != entry->end - entry->begin)
        refuse("shape-against-offsets", value->key);
}

static int compare_places(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static void check_layout(const Tensors *file)
{
    int64_t place = 0;
    size_t i;
    for (i = 0; i < file->count; i++) {
        const Entry *entry = &file->entries[i];
        if (entry->begin > place)
            refuse("hole", entry->name);
        if (entry->begin < place)
            refuse("overlap", entry->name);
        place = entry->end;
    }
    if ((uint64_t)place > file->size)
        refuse("data-cut-short", "the tensors end behind the data");
    if ((uint64_t)place < file->size)
        refuse("data-left-over", "the data end behind the tensors");
}

static Tensors read_tensors(const char *folder, const char *name)
{
    Bytes bytes = read_file(folder, name);
    Tensors file = {NULL, 0, NULL, 0};
    uint64_t size;
    const Json *header, *each;
    size_t i;
    if (bytes.size < 8)
        refuse("file-too-short", name);
    size = little_endian(bytes.bytes, 8);
    if (size > 100000000)
        refuse("header-too-long", name);
    if (size > bytes.size - 8)
        refuse("header-beyond-end", name);
    if (size == 0 || bytes.bytes[8] != '{')
        refuse("header-start", name);
    header = read_json(bytes.bytes + 8, (size_t)size);
    refuse_floats(header);
    file.data = bytes.bytes + 8 + size;
    file.size = bytes.size - 8 - (size_t)size;
    file.entries = memory(header->count + 1, sizeof *file.entries);
    for (each = header->first; each != NULL; each = each->next) {
        if (each->key_length == 12 && memcmp(each->key, "__metadata__", 12) == 0)
            check_metadata(each);
        else
            read_entry(each, &file.entries[file.count++]);
    }
    qsort(file.entries, file.count, sizeof *file.entries, compare_places);
    check_layout(&file);
    for (i = 0; i < file.count; i++) {
        const Entry *entry = &file.entries[i];
        int64_t at;
        for (at = entry->begin; entry->type == 0 && at < entry->end; at++)
            if (file.data[at] > 1)
                refuse("bool", entry->name);
    }
    return file;
}

static const Entry *find(const Tensors *file, const char *name)
{
    size_t i;
    for (i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0)
            return &file->entries[i];
    return NULL;
}

static double half_to_double(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (bits & 1023) / 1024.0;
    double size = exponent == 0 ? ldexp(fraction, -14) : exponent < 31 ? ldexp(1 + fraction, exponent - 15)
                                                       : fraction != 0 ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -size : size;
}

/* number_at gives number i of a tensor. Whole numbers up to 2^53 are exact. */
static double number_at(const Tensors *file, const Entry *entry, int64_t i)
{
    const char *type = TYPES[entry->type].name;
    int size = TYPES[entry->type].size;
    uint64_t bits = little_endian(file->data + entry->begin + i * size, size);
    uint32_t low = (uint32_t)bits;
    float single;
    double wide;
    if (strcmp(type, "F64") == 0) {
        memcpy(&wide, &bits, 8);
        return wide;
    }
    if (strcmp(type, "F16") == 0)
        return half_to_double(low);
    if (strcmp(type, "F32") == 0 || strcmp(type, "BF16") == 0) {
        if (size == 2)
            low <<= 16;
        memcpy(&single, &low, 4);
        return single;
    }
    if (type[0] == 'I' && bits >> (8 * size - 1) != 0) /* negative: two's complement */
        return -(double)(((~bits) & (UINT64_MAX >> (64 - 8 * size))) + 1);
    return (double)bits;
}

static int is_float(const Entry *entry)
{
    const char *type = TYPES[entry->type].name;
    return type[0] == 'F' || strcmp(type, "BF16") == 0;
}

/* Out holds the results: arrays with names. A forward pass that shows its stages is also the tape of the backward pass. */
typedef struct {
    char name[NAME_SIZE];
    int dims;
    long shape[4];
    size_t count;
    char type; /* 'r' real, 'f' float, 'i' int64_t */
    void *data;
} Shown;

typedef struct {
    Shown *arrays;
    size_t count, room;
} Out;

static void join(char *out, const char *a, const char *b, const char *c)
{
    if (strlen(a) + strlen(b) + strlen(c) >= NAME_SIZE)
        refuse("name", a);
    sprintf(out, "%s%s%s", a, b, c);
}

/* show gives an array a name: first and second stand behind one another. Sizes of unused axes are 1. */
static Shown *show(Out *out, const char *first, const char *second, char type, void *data, int dims, long a, long b, long c, long d)
{
    Shown *shown;
    if (out == NULL)
        return NULL;
    if (out->count == out->room) {
        Shown *more = memory(2 * out->room + 64, sizeof *more);
        if (out->count > 0)
            memcpy(more, out->arrays, out->count * sizeof *more);
        out->arrays = more;
        out->room = 2 * out->room + 64;
    }
    shown = &out->arrays[out->count++];
    join(shown->name, first, second, "");
    shown->type = type;
    shown->data = data;
    shown->dims = dims;
    shown->shape[0] = a;
    shown->shape[1] = b;
    shown->shape[2] = c;
    shown->shape[3] = d;
    shown->count = (size_t)a * (size_t)b * (size_t)c * (size_t)d;
    return shown;
}

static Shown *shown_as(const Out *out, const char *first, const char *second)
{
    char name[2 * NAME_SIZE];
    size_t i;
    sprintf(name, "%.127s%.127s", first, second);
    for (i = 0; i < out->count; i++)
        if (strcmp(out->arrays[i].name, name) == 0)
            return &out->arrays[i];
    return NULL;
}

static int put_little_endian(FILE *file, uint64_t value, int size)
{
    for (; size > 0; size--, value >>= 8)
        if (fputc((int)(value & 255), file) == EOF)
            return 0;
    return 1;
}

static void write_tensors(const char *path, const Out *out)
{
    size_t i, j, place = 0, length = 0;
    char *header = memory(out->count + 1, NAME_SIZE + 256);
    FILE *file = fopen(path, "wb");
    int good = file != NULL;
    length += (size_t)sprintf(header, "{");
    for (i = 0; i < out->count; i++) {
        const Shown *shown = &out->arrays[i];
        size_t item = shown->type == 'i' ? 8 : shown->type == 'f' ? 4 : sizeof(real);
        int axis;
        length += (size_t)sprintf(header + length, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i > 0 ? "," : "", shown->name,
                                  shown->type == 'i' ? "I64" : shown->type == 'f' ? "F32" : REAL_TYPE);
        for (axis = 0; axis < shown->dims; axis++)
            length += (size_t)sprintf(header + length, "%s%ld", axis > 0 ? "," : "", shown->shape[axis]);
        length += (size_t)sprintf(header + length, "],\"data_offsets\":[%lu,%lu]}", (unsigned long)place,
                                  (unsigned long)(place + item * shown->count));
        place += item * shown->count;
    }
    length += (size_t)sprintf(header + length, "}");
    while (length % 8 != 0)
        header[length++] = ' ';
    good = good && put_little_endian(file, length, 8) && fwrite(header, 1, length, file) == length;
    for (i = 0; good && i < out->count; i++) {
        const Shown *shown = &out->arrays[i];
        for (j = 0; good && j < shown->count; j++) {
            uint64_t wide = 0;
            uint32_t narrow = 0;
            if (shown->type == 'i') {
                wide = (uint64_t)((const int64_t *)shown->data)[j];
            } else if (shown->type == 'r' && sizeof(real) == 8) {
                double number = (double)((const real *)shown->data)[j];
                memcpy(&wide, &number, 8);
            } else {
                float number = shown->type == 'f' ? ((const float *)shown->data)[j] : (float)((const real *)shown->data)[j];
                memcpy(&narrow, &number, 4);
            }
            good = shown->type == 'f' || (shown->type == 'r' && sizeof(real) == 4) ? put_little_endian(file, narrow, 4)
                                                                                    : put_little_endian(file, wide, 8);
        }
    }
    if (file == NULL || fclose(file) != 0 || !good)
        refuse("unwritable", path);
}

/* ------------------------------------------------------------------------------------------------------------------
 * 4  The model and its weights
 * --------------------------------------------------------------------------------------------------------------- */

typedef enum { GELU, GELU_TANH, QUICK_GELU, SILU, RELU } Activation;
typedef enum { HEAD_LM, HEAD_ANSWERS, HEAD_CLASSES } Head;

/* Linear and Norm know the name of their stage; the names of their weights follow from it. */
typedef struct {
    char name[NAME_SIZE];
    const real *weight; /* (outputs, inputs) */
    const real *bias;   /* (outputs,), or NULL */
    long outputs, inputs;
} Linear;

typedef struct {
    char name[NAME_SIZE];
    const real *weight, *bias; /* (E,) */
} Norm;

typedef struct {
    char name[NAME_SIZE]; /* of the attention; its stages scores, probs and context stand behind it */
    Linear query, key, value, output;
} Attention;

typedef struct {
    Attention self;
    Attention global; /* of the encoder: the second projections, without an output */
    Attention cross;  /* of the decoder */
    Norm self_norm, cross_norm, final_norm;
    Linear fc1, fc2;
    char activation_name[NAME_SIZE];
    long window; /* of the encoder: tokens on each side */
} Layer;

typedef struct {
    const char *name; /* "encoder" or "decoder" */
    long count, heads, hidden, positions;
    const real *token_table, *position_table; /* (V, E), (positions, E) */
    Norm norm;
    Layer *layers;
} Side;

typedef struct {
    long size, vocabulary; /* E, V */
    Side sides[2];
    Activation activation;
    Head head;
    int tied;
    int64_t pad, eos, start;
    long labels;
    const char *problem;
    Linear lm_head, qa_outputs, dense, out_proj;
    const real *logits_bias; /* (V,), or NULL */
    uint64_t seed;
    const Tensors *file; /* NULL: the recipe makes the weights */
} Model;

static int ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), of_end = strlen(end);
    return size >= of_end && strcmp(text + size - of_end, end) == 0;
}

/* weight_name: only heads have names without "led." in front. */
static void weight_name(char *out, const char *stage, const char *part)
{
    int of_head = strncmp(stage, "encoder", 7) != 0 && strncmp(stage, "decoder", 7) != 0 && strncmp(stage, "shared", 6) != 0;
    join(out, of_head ? "" : "led.", stage, part);
}

/* made_weight is the kit's recipe. Every value is exact in float32. */
static real *made_weight(const Model *model, const char *name, long rows, long columns)
{
    uint64_t hash = 0xcbf29ce484222325u, i, count = (uint64_t)rows * (uint64_t)(columns > 0 ? columns : 1);
    real *made = reals(rows, columns > 0 ? columns : 1, 1);
    double factor = 1, more = 0;
    char text[NAME_SIZE + 32];
    const char *c;
    sprintf(text, "%llu/%s", (unsigned long long)model->seed, name);
    for (c = text; *c != 0; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    if (ends_with(name, ".weight")) {
        if (strstr(name, "norm") != NULL) {
            more = 1;
        } else if (ends_with(name, "embed_tokens.weight") || ends_with(name, "embed_positions.weight") ||
                   strcmp(name, "led.shared.weight") == 0 || strcmp(name, "lm_head.weight") == 0) {
            factor = 2;
        } else {
            double most = 64;
            for (; columns > most; most *= 4)
                factor /= 2;
        }
    }
    for (i = 0; i < count; i++) {
        uint64_t z = hash + (i + 1) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z = z ^ (z >> 31);
        made[i] = (real)(more + factor * (2.0 * (double)(z >> 52) - 4095) / 8192);
    }
    return made;
}

/* file_weight gives NULL where the file does not have the weight. A vector has 0 columns. */
static real *file_weight(const Model *model, const char *name, long rows, long columns)
{
    const Entry *entry = find(model->file, name);
    real *read;
    int64_t i;
    if (entry == NULL && strncmp(name, "led.", 4) == 0)
        entry = find(model->file, name + 4); /* LEDModel saves names without it */
    if (entry == NULL)
        return NULL;
    if (!is_float(entry))
        refuse("no-floats", name);
    if (entry->dims != (columns > 0 ? 2 : 1) || entry->shape[0] != rows || (columns > 0 && entry->shape[1] != columns))
        refuse("weights-misshaped", name);
    read = reals(rows, columns > 0 ? columns : 1, 1);
    for (i = 0; i < entry->count; i++)
        read[i] = (real)number_at(model->file, entry, i);
    return read;
}

static const real *weight(const Model *model, const char *stage, const char *part, long rows, long columns)
{
    char name[NAME_SIZE];
    real *found;
    weight_name(name, stage, part);
    if (model->file == NULL)
        return made_weight(model, name, rows, columns);
    found = file_weight(model, name, rows, columns);
    if (found == NULL)
        refuse("weights-missing", name);
    return found;
}

/* embedding gives the matrix of one of four names. Tied ones are one matrix, which a file has under any of them. */
static const real *embedding(const Model *model, const char *stage)
{
    static const char *const NAMES[] = {"shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"};
    const real *found = NULL;
    char name[NAME_SIZE];
    int i;
    if (model->file == NULL)
        return weight(model, model->tied ? "shared" : stage, ".weight", model->vocabulary, model->size);
    if (!model->tied) {
        weight_name(name, stage, ".weight");
        found = file_weight(model, name, model->vocabulary, model->size);
    }
    for (i = 0; i < 4 && found == NULL; i++) {
        weight_name(name, NAMES[i], ".weight");
        found = file_weight(model, name, model->vocabulary, model->size);
    }
    if (found == NULL)
        refuse("weights-missing", "led.shared.weight");
    return found;
}

static Linear make_linear(const Model *model, const char *prefix, const char *name, long outputs, long inputs)
{
    Linear made;
    join(made.name, prefix, name, "");
    made.outputs = outputs;
    made.inputs = inputs;
    made.weight = weight(model, made.name, ".weight", outputs, inputs);
    made.bias = weight(model, made.name, ".bias", outputs, 0);
    return made;
}

static Norm make_norm(const Model *model, const char *prefix, const char *name)
{
    Norm made;
    join(made.name, prefix, name, "");
    made.weight = weight(model, made.name, ".weight", model->size, 0);
    made.bias = weight(model, made.name, ".bias", model->size, 0);
    return made;
}

static void make_decoder_attention(const Model *model, Attention *made, const char *layer, const char *name)
{
    long E = model->size;
    join(made->name, layer, name, "");
    made->query = make_linear(model, made->name, ".q_proj", E, E);
    made->key = make_linear(model, made->name, ".k_proj", E, E);
    made->value = make_linear(model, made->name, ".v_proj", E, E);
    made->output = make_linear(model, made->name, ".out_proj", E, E);
}

static void make_encoder_attention(const Model *model, Layer *layer, const char *name)
{
    long E = model->size;
    char inner[NAME_SIZE];
    join(layer->self.name, name, ".self_attn", "");
    join(layer->global.name, name, ".self_attn", "");
    join(inner, name, ".self_attn", ".longformer_self_attn");
    layer->self.query = make_linear(model, inner, ".query", E, E);
    layer->self.key = make_linear(model, inner, ".key", E, E);
    layer->self.value = make_linear(model, inner, ".value", E, E);
    layer->self.output = make_linear(model, layer->self.name, ".output", E, E);
    layer->global.query = make_linear(model, inner, ".query_global", E, E);
    layer->global.key = make_linear(model, inner, ".key_global", E, E);
    layer->global.value = make_linear(model, inner, ".value_global", E, E);
}

static void make_side(Model *model, const Json *config, int which)
{
    Side *side = &model->sides[which];
    const Json *windows = member(config, "attention_window");
    const Json *of_layer = windows != NULL && windows->kind == J_LIST ? windows->first : NULL;
    char name[NAME_SIZE];
    long i;
    join(name, side->name, ".embed_tokens", "");
    side->token_table = embedding(model, name);
    join(name, side->name, ".embed_positions", "");
    side->position_table = weight(model, name, ".weight", side->positions, model->size);
    side->norm = make_norm(model, side->name, ".layernorm_embedding");
    side->layers = memory((size_t)side->count, sizeof *side->layers);
    for (i = 0; i < side->count; i++) {
        Layer *layer = &side->layers[i];
        sprintf(name, "%s.layers.%ld", side->name, i);
        join(layer->activation_name, name, ".activation_fn", "");
        if (which == ENCODER) {
            int64_t both = windows != NULL && windows->kind == J_LIST ? -1 : integer_of(config, "attention_window", 512);
            if (of_layer != NULL) {
                both = of_layer->kind == J_INTEGER ? of_layer->integer : -1;
                of_layer = of_layer->next;
            }
            if (both < 2 || both % 2 != 0 || both > 1 << 30)
                refuse("config", "attention_window is no even number for each layer");
            layer->window = (long)(both / 2);
            make_encoder_attention(model, layer, name);
        } else {
            make_decoder_attention(model, &layer->self, name, ".self_attn");
            make_decoder_attention(model, &layer->cross, name, ".encoder_attn");
            layer->cross_norm = make_norm(model, name, ".encoder_attn_layer_norm");
        }
        layer->self_norm = make_norm(model, name, ".self_attn_layer_norm");
        layer->fc1 = make_linear(model, name, ".fc1", side->hidden, model->size);
        layer->fc2 = make_linear(model, name, ".fc2", model->size, side->hidden);
        layer->final_norm = make_norm(model, name, ".final_layer_norm");
    }
}

static long size_of(const Json *config, const char *key, int64_t otherwise)
{
    int64_t value = integer_of(config, key, otherwise);
    if (value < 1 || value > 1 << 28)
        refuse("config", key);
    return (long)value;
}

static Activation activation_of(const Json *config)
{
    const char *name = text_of(config, "activation_function", "gelu");
    if (strcmp(name, "gelu") == 0) return GELU;
    if (strcmp(name, "gelu_new") == 0 || strcmp(name, "gelu_pytorch_tanh") == 0) return GELU_TANH;
    if (strcmp(name, "quick_gelu") == 0) return QUICK_GELU;
    if (strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0) return SILU;
    if (strcmp(name, "relu") != 0)
        refuse("config", "activation_function");
    return RELU;
}

static void make_heads(Model *model, const Json *config)
{
    const Json *architectures = member(config, "architectures");
    const Json *named = member(config, "id2label");
    const char *name = "LEDForConditionalGeneration";
    if (architectures != NULL && architectures->kind == J_LIST && architectures->first != NULL &&
        architectures->first->kind == J_STRING)
        name = architectures->first->text;
    model->labels = named != NULL && named->kind == J_OBJECT ? (long)named->count : size_of(config, "num_labels", 2);
    model->problem = text_of(config, "problem_type", "");
    if (strcmp(name, "LEDForQuestionAnswering") == 0) {
        model->head = HEAD_ANSWERS;
        model->qa_outputs = make_linear(model, "qa_outputs", "", 2, model->size);
    } else if (strcmp(name, "LEDForSequenceClassification") == 0) {
        model->head = HEAD_CLASSES;
        model->dense = make_linear(model, "classification_head", ".dense", model->size, model->size);
        model->out_proj = make_linear(model, "classification_head", ".out_proj", model->labels, model->size);
    } else {
        model->head = HEAD_LM;
        strcpy(model->lm_head.name, "lm_head");
        model->lm_head.weight = embedding(model, "lm_head");
        model->lm_head.bias = NULL;
        model->lm_head.outputs = model->vocabulary;
        model->lm_head.inputs = model->size;
        model->logits_bias = model->file != NULL ? file_weight(model, "final_logits_bias", 1, model->vocabulary)
                                                 : made_weight(model, "final_logits_bias", 1, model->vocabulary);
    }
}

static Model *read_model(const char *folder)
{
    Bytes text = read_file(folder, "config.json");
    const Json *config = read_json(text.bytes, text.size);
    Model *model = memory(1, sizeof *model);
    int which;
    model->size = size_of(config, "d_model", 1024);
    model->vocabulary = size_of(config, "vocab_size", 50265);
    model->activation = activation_of(config);
    model->tied = member(config, "tie_word_embeddings") == NULL || member(config, "tie_word_embeddings")->kind != J_FALSE;
    model->pad = integer_of(config, "pad_token_id", 1);
    model->eos = integer_of(config, "eos_token_id", 2);
    model->start = integer_of(config, "decoder_start_token_id", 2);
    model->seed = (uint64_t)integer_of(config, "weights_seed", 0);
    if (exists(folder, "model.safetensors")) {
        Tensors *file = memory(1, sizeof *file);
        *file = read_tensors(folder, "model.safetensors");
        model->file = file;
    }
    for (which = 0; which < 2; which++) {
        Side *side = &model->sides[which];
        char key[64];
        side->name = which == ENCODER ? "encoder" : "decoder";
        sprintf(key, "%s_layers", side->name);
        side->count = size_of(config, key, 12);
        sprintf(key, "%s_attention_heads", side->name);
        side->heads = size_of(config, key, 16);
        sprintf(key, "%s_ffn_dim", side->name);
        side->hidden = size_of(config, key, 4096);
        sprintf(key, "max_%s_position_embeddings", side->name);
        side->positions = size_of(config, key, which == ENCODER ? 16384 : 1024);
        if (model->size % side->heads != 0)
            refuse("config", "the number of heads does not divide d_model");
        make_side(model, config, which);
    }
    make_heads(model, config);
    return model;
}

/* ------------------------------------------------------------------------------------------------------------------
 * 5  The forward pass
 *
 * Every function gives an array of its own, and shows it under the name of its stage where out is not NULL.
 * --------------------------------------------------------------------------------------------------------------- */

/* dot has four sums that do not wait for one another. */
static real dot(const real *a, const real *b, long size)
{
    real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    long i = 0;
    for (; i + 3 < size; i += 4) {
        s0 += a[i] * b[i];
        s1 += a[i + 1] * b[i + 1];
        s2 += a[i + 2] * b[i + 2];
        s3 += a[i + 3] * b[i + 3];
    }
    for (; i < size; i++)
        s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

/* add_scaled adds factor * x to y. */
static void add_scaled(real *y, real factor, const real *x, long size)
{
    long i;
    for (i = 0; i < size; i++)
        y[i] += factor * x[i];
}

/* linear: y[i, m] = bias[m] + sum over u of x[i, u] weight[m, u]. */
static real *linear(const Linear *l, const real *x, long rows)
{
    real *y = reals(rows, l->outputs, 1);
    long i, m;
    for (m = 0; m < l->outputs; m++)
        for (i = 0; i < rows; i++)
            y[i * l->outputs + m] = dot(x + i * l->inputs, l->weight + m * l->inputs, l->inputs) + (l->bias ? l->bias[m] : 0);
    return y;
}

/* shown_linear is linear for an array (B, N, inputs), and shows the result. */
static real *shown_linear(const Linear *l, const real *x, long B, long N, Out *out)
{
    real *y = linear(l, x, B * N);
    show(out, l->name, "", 'r', y, 3, B, N, l->outputs, 1);
    return y;
}

/* norm_rows gives the normed rows without weight and bias, and 1 / deviation of each row where it is asked for. */
static real *norm_rows(const real *x, long rows, long E, real *inverse)
{
    real *y = reals(rows, E, 1);
    long i, e;
    for (i = 0; i < rows; i++) {
        const real *row = x + i * E;
        real mean = 0, variance = 0, factor;
        for (e = 0; e < E; e++)
            mean += row[e];
        mean /= (real)E;
        for (e = 0; e < E; e++)
            variance += (row[e] - mean) * (row[e] - mean);
        factor = (real)(1 / sqrt((double)(variance / (real)E) + 1e-5));
        for (e = 0; e < E; e++)
            y[i * E + e] = (row[e] - mean) * factor;
        if (inverse != NULL)
            inverse[i] = factor;
    }
    return y;
}

/* add_norm: norm(x + y) for arrays (B, N, E). */
static real *add_norm(const Norm *norm, const real *x, const real *y, long B, long N, long E, Out *out)
{
    real *sum = reals(B, N, E), *z;
    long i;
    for (i = 0; i < B * N * E; i++)
        sum[i] = x[i] + y[i];
    z = norm_rows(sum, B * N, E, NULL);
    for (i = 0; i < B * N * E; i++)
        z[i] = z[i] * norm->weight[i % E] + norm->bias[i % E];
    show(out, norm->name, "", 'r', z, 3, B, N, E, 1);
    return z;
}

static double activate(Activation which, double x)
{
    const double root = 0.79788456080286535588; /* sqrt(2 / pi) */
    switch (which) {
    case GELU: return x * (1 + erf(x * 0.70710678118654752440)) / 2;
    case GELU_TANH: return x * (1 + tanh(root * (x + 0.044715 * x * x * x))) / 2;
    case QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case SILU: return x / (1 + exp(-x));
    default: return x > 0 ? x : 0;
    }
}

static real *feed_forward(const Model *model, const Layer *layer, const real *x, long B, long N, Out *out)
{
    long F = layer->fc1.outputs, i;
    real *f = shown_linear(&layer->fc1, x, B, N, out);
    real *g = reals(B, N, F);
    for (i = 0; i < B * N * F; i++)
        g[i] = (real)activate(model->activation, (double)f[i]);
    show(out, layer->activation_name, "", 'r', g, 3, B, N, F, 1);
    return add_norm(&layer->final_norm, x, shown_linear(&layer->fc2, g, B, N, out), B, N, model->size, out);
}

/* embed: rows of ids (B, N), from position first on. */
static real *embed(const Model *model, const Side *side, const int64_t *ids, long B, long N, long first, Out *out)
{
    long E = model->size, i;
    real *tokens = reals(B, N, E), *positions = reals(B, N, E);
    if (first + N > side->positions)
        refuse("input", "there are more tokens than positions");
    for (i = 0; i < B * N; i++) {
        if (ids[i] < 0 || ids[i] >= model->vocabulary)
            refuse("input", "an id is not in the vocabulary");
        memcpy(tokens + i * E, side->token_table + ids[i] * E, (size_t)E * sizeof(real));
        memcpy(positions + i * E, side->position_table + (first + i % N) * E, (size_t)E * sizeof(real));
    }
    show(out, side->name, ".embed_tokens", 'r', tokens, 3, B, N, E, 1);
    show(out, side->name, ".embed_positions", 'r', positions, 3, B, N, E, 1);
    return add_norm(&side->norm, tokens, positions, B, N, E, out);
}

/*
 * attend is one query row, and all its heads. q is (E,), k and v are (keys, E). seen says which keys it sees.
 * A row without any key gets context 0; with alike it attends to all keys alike, as the decoder does.
 * Scores and probs of head n go to scores + n * stride and probs + n * stride; context is (E,) and begins as 0.
 */
static void attend(const real *q, const real *k, const real *v, const unsigned char *seen, long keys, long E, long heads,
                   int alike, real *scores, real *probs, long stride, real *context)
{
    long D = E / heads, n, j;
    real scale = (real)(1 / sqrt((double)D));
    int any = memchr(seen, 1, (size_t)keys) != NULL;
    for (n = 0; n < heads; n++) {
        real *s = scores + n * stride, *p = probs + n * stride;
        real most = -(real)INFINITY, sum = 0;
        for (j = 0; j < keys; j++) {
            s[j] = seen[j] ? dot(q + n * D, k + j * E + n * D, D) * scale : !any && alike ? 0 : -(real)INFINITY;
            p[j] = 0;
            if (s[j] > most)
                most = s[j];
        }
        if (!any && !alike)
            continue;
        for (j = 0; j < keys; j++) {
            p[j] = s[j] == -(real)INFINITY ? 0 : (real)exp((double)(s[j] - most));
            sum += p[j];
        }
        for (j = 0; j < keys; j++) {
            p[j] /= sum;
            if (p[j] != 0)
                add_scaled(context + n * D, p[j], v + j * E + n * D, D);
        }
    }
}

/* Batch is the input of a call: ids and masks. Masks are 0 or 1. */
typedef struct {
    long B, S, T, G;
    const int64_t *source, *target;                /* (B, S), (B, T) */
    unsigned char *is_real, *is_global, *to_see;   /* (B, S), (B, S), (B, T) */
} Batch;

/* mark_keys: the rule of the encoder, for the query at place i of one document. */
static void mark_keys(unsigned char *seen, const unsigned char *is_real, const unsigned char *is_global, long S, long i, long w)
{
    long j;
    for (j = 0; j < S; j++)
        seen[j] = (labs(i - j) <= w || is_global[i] || is_global[j]) && is_real[i] && is_real[j];
}

/* gather_global: the rows of global tokens of x (B, S, E), in order, as (B, G, E). Rows that are not used are 0. */
static real *gather_global(const Batch *batch, const real *x, long E)
{
    real *rows = reals(batch->B, batch->G, E);
    long b, i, g;
    for (b = 0; b < batch->B; b++)
        for (i = g = 0; i < batch->S; i++)
            if (batch->is_global[b * batch->S + i])
                memcpy(rows + (b * batch->G + g++) * E, x + (b * batch->S + i) * E, (size_t)E * sizeof(real));
    return rows;
}

static real *encoder_layer(const Model *model, const Layer *layer, const real *h, const Batch *batch, Out *out)
{
    long B = batch->B, S = batch->S, G = batch->G, E = model->size, H = model->sides[ENCODER].heads, b, i, g;
    real *q = shown_linear(&layer->self.query, h, B, S, out);
    real *k = shown_linear(&layer->self.key, h, B, S, out);
    real *v = shown_linear(&layer->self.value, h, B, S, out);
    real *q_global = NULL, *k_global = NULL, *v_global = NULL;
    real *context = reals(B, S, E), *a;
    real *scores = out ? reals(B * H, S, S) : reals(H, S, 1), *probs = out ? reals(B * H, S, S) : reals(H, S, 1);
    unsigned char *seen = memory((size_t)S, 1);
    if (G > 0) {
        q_global = shown_linear(&layer->global.query, gather_global(batch, h, E), B, G, out);
        k_global = shown_linear(&layer->global.key, h, B, S, out);
        v_global = shown_linear(&layer->global.value, h, B, S, out);
    }
    for (b = 0; b < B; b++) {
        const unsigned char *is_real = batch->is_real + b * S, *is_global = batch->is_global + b * S;
        for (i = g = 0; i < S; i++) {
            long place = out ? (b * H * S + i) * S : 0, stride = out ? S * S : S;
            const real *of_query = q + (b * S + i) * E, *keys = k + b * S * E, *values = v + b * S * E;
            if (is_global[i]) {
                of_query = q_global + (b * G + g++) * E;
                keys = k_global + b * S * E;
                values = v_global + b * S * E;
            }
            mark_keys(seen, is_real, is_global, S, i, layer->window);
            attend(of_query, keys, values, seen, S, E, H, 0, scores + place, probs + place, stride, context + (b * S + i) * E);
        }
        if (G > 0) /* the bias stands in the rows that this document does not use */
            memset(q_global + (b * G + g) * E, 0, (size_t)((G - g) * E) * sizeof(real));
    }
    if (out != NULL) {
        show(out, layer->self.name, ".scores", 'r', scores, 4, B, H, S, S);
        show(out, layer->self.name, ".probs", 'r', probs, 4, B, H, S, S);
    }
    show(out, layer->self.name, ".longformer_self_attn", 'r', context, 3, B, S, E, 1);
    a = shown_linear(&layer->self.output, context, B, S, out);
    h = add_norm(&layer->self_norm, h, a, B, S, E, out);
    return feed_forward(model, layer, h, B, S, out);
}

static real *encoder(const Model *model, const Batch *batch, Out *out)
{
    const Side *side = &model->sides[ENCODER];
    real *h = embed(model, side, batch->source, batch->B, batch->S, 0, out);
    long i;
    for (i = 0; i < side->count; i++)
        h = encoder_layer(model, &side->layers[i], h, batch, out);
    return h;
}

/*
 * Cache holds keys and values of the decoder. Those of the source are there once for each document; a document has
 * rows / B rows, its beams. Those of the target have room for a number of tokens in each row; past of them are there.
 */
typedef struct {
    long rows, room, past;
    real **self_key, **self_value;   /* of each layer (rows, room, E) */
    real **cross_key, **cross_value; /* of each layer (B, S, E) */
} Cache;

static Cache make_cache(const Model *model, const Batch *batch, const real *states, long rows, long room, Out *out)
{
    const Side *side = &model->sides[DECODER];
    Cache cache;
    long i;
    cache.rows = rows;
    cache.room = room;
    cache.past = 0;
    cache.self_key = memory((size_t)side->count, sizeof(real *));
    cache.self_value = memory((size_t)side->count, sizeof(real *));
    cache.cross_key = memory((size_t)side->count, sizeof(real *));
    cache.cross_value = memory((size_t)side->count, sizeof(real *));
    for (i = 0; i < side->count; i++) {
        cache.self_key[i] = reals(rows, room, model->size);
        cache.self_value[i] = reals(rows, room, model->size);
        cache.cross_key[i] = shown_linear(&side->layers[i].cross.key, states, batch->B, batch->S, out);
        cache.cross_value[i] = shown_linear(&side->layers[i].cross.value, states, batch->B, batch->S, out);
    }
    return cache;
}

/* decoder_attention: queries h (R, T, E); of row r the keys are those of document or row r / per, (X, E) of room. */
static real *decoder_attention(const Model *model, const Attention *attention, const real *h, long R, long T, const real *k,
                               const real *v, long X, long room, long per, const unsigned char *mask, int causal, long past,
                               Out *out)
{
    long E = model->size, H = model->sides[DECODER].heads, r, i, j;
    real *q = shown_linear(&attention->query, h, R, T, out), *context = reals(R, T, E);
    real *scores = out ? reals(R * H, T, X) : reals(H, X, 1), *probs = out ? reals(R * H, T, X) : reals(H, X, 1);
    unsigned char *seen = memory((size_t)X, 1);
    for (r = 0; r < R; r++)
        for (i = 0; i < T; i++) {
            long place = out ? (r * H * T + i) * X : 0, stride = out ? T * X : X, owner = r / per;
            for (j = 0; j < X; j++)
                seen[j] = (mask == NULL || mask[owner * X + j]) && (!causal || j <= past + i);
            attend(q + (r * T + i) * E, k + owner * room * E, v + owner * room * E, seen, X, E, H, 1, scores + place,
                   probs + place, stride, context + (r * T + i) * E);
        }
    if (out != NULL) {
        show(out, attention->name, ".scores", 'r', scores, 4, R, H, T, X);
        show(out, attention->name, ".probs", 'r', probs, 4, R, H, T, X);
    }
    show(out, attention->name, ".context", 'r', context, 3, R, T, E, 1);
    return shown_linear(&attention->output, context, R, T, out);
}

/* decoder: T new tokens in each row of the cache. The target's mask acts where all tokens come in one call. */
static real *decoder(const Model *model, const Batch *batch, Cache *cache, const int64_t *ids, long T,
                     const unsigned char *to_see, Out *out)
{
    const Side *side = &model->sides[DECODER];
    long R = cache->rows, E = model->size, past = cache->past, i, r;
    real *h = embed(model, side, ids, R, T, past, out), *a;
    if (past + T > cache->room)
        refuse("input", "the cache has no room left");
    for (i = 0; i < side->count; i++) {
        const Layer *layer = &side->layers[i];
        real *k = shown_linear(&layer->self.key, h, R, T, out), *v = shown_linear(&layer->self.value, h, R, T, out);
        for (r = 0; r < R; r++) {
            size_t size = (size_t)(T * E) * sizeof(real);
            memcpy(cache->self_key[i] + (r * cache->room + past) * E, k + r * T * E, size);
            memcpy(cache->self_value[i] + (r * cache->room + past) * E, v + r * T * E, size);
        }
        a = decoder_attention(model, &layer->self, h, R, T, cache->self_key[i], cache->self_value[i], past + T, cache->room, 1,
                              T > 1 ? to_see : NULL, 1, past, out);
        h = add_norm(&layer->self_norm, h, a, R, T, E, out);
        a = decoder_attention(model, &layer->cross, h, R, T, cache->cross_key[i], cache->cross_value[i], batch->S, batch->S,
                              R / batch->B, batch->is_real, 0, 0, out);
        h = add_norm(&layer->cross_norm, h, a, R, T, E, out);
        h = feed_forward(model, layer, h, R, T, out);
    }
    cache->past += T;
    return h;
}

/* lm_logits: (rows, V), with the bias. raw gets them without it where it is not NULL. */
static real *lm_logits(const Model *model, const real *h, long rows, real **raw)
{
    real *lm = linear(&model->lm_head, h, rows), *logits = reals(rows, model->vocabulary, 1);
    long i;
    for (i = 0; i < rows * model->vocabulary; i++)
        logits[i] = lm[i] + (model->logits_bias ? model->logits_bias[i % model->vocabulary] : 0);
    if (raw != NULL)
        *raw = lm;
    return logits;
}

static long largest(const real *row, long size)
{
    long best = 0, i;
    for (i = 1; i < size; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

/* log_sum is log(sum over i of exp(x[i])), for numbers that stand step apart. */
static double log_sum(const real *x, long size, long step)
{
    double most = -INFINITY, sum = 0;
    long i;
    for (i = 0; i < size; i++)
        if ((double)x[i * step] > most)
            most = (double)x[i * step];
    for (i = 0; i < size; i++)
        sum += exp((double)x[i * step] - most);
    return most + log(sum);
}

/* Numbers is an input: as whole numbers, and as they are. */
typedef struct {
    long rows, columns; /* of (B,) there is 1 column */
    int floats;
    int64_t *ids;
    double *values;
} Numbers;

static Numbers *read_numbers(const Tensors *file, const char *name)
{
    const Entry *entry = find(file, name);
    Numbers *read;
    int64_t i;
    if (entry == NULL)
        return NULL;
    if (entry->dims < 1 || entry->dims > 2 || entry->count > 1 << 28)
        refuse("input", name);
    read = memory(1, sizeof *read);
    read->rows = (long)entry->shape[0];
    read->columns = entry->dims == 2 ? (long)entry->shape[1] : 1;
    read->floats = is_float(entry);
    read->ids = memory((size_t)entry->count, sizeof(int64_t));
    read->values = memory((size_t)entry->count, sizeof(double));
    for (i = 0; i < entry->count; i++) {
        read->values[i] = number_at(file, entry, i);
        if (fabs(read->values[i]) < 9e15)
            read->ids[i] = (int64_t)read->values[i];
    }
    return read;
}

static unsigned char *read_mask(const Tensors *file, const char *name, long B, long N, int otherwise)
{
    const Numbers *read = read_numbers(file, name);
    unsigned char *mask = memory((size_t)(B * N), 1);
    long i;
    if (read != NULL && (read->rows != B || read->columns != N))
        refuse("input", name);
    for (i = 0; i < B * N; i++)
        mask[i] = (unsigned char)(read != NULL ? read->ids[i] == 1 : otherwise);
    return mask;
}

/* read_batch: ids and masks. Without decoder_input_ids, labels or the text itself are shifted to the right. */
static Batch read_batch(const Model *model, const Tensors *file, int with_target)
{
    const Numbers *source = read_numbers(file, "input_ids"), *target, *labels, *marks;
    Batch batch;
    long i, b, count;
    if (source == NULL || source->rows < 1 || source->columns < 1)
        refuse("input", "input_ids");
    memset(&batch, 0, sizeof batch);
    batch.B = source->rows;
    batch.S = source->columns;
    batch.source = source->ids;
    batch.is_real = read_mask(file, "attention_mask", batch.B, batch.S, 1);
    batch.is_global = read_mask(file, "global_attention_mask", batch.B, batch.S, 0);
    marks = read_numbers(file, "global_attention_mask");
    for (b = 0; b < batch.B; b++) {
        for (i = b * batch.S, count = 0; i < (b + 1) * batch.S; i++) {
            if (marks != NULL && marks->ids[i] == -1)
                batch.is_real[i] = 0;
            batch.is_global[i] &= batch.is_real[i];
            count += batch.is_global[i];
        }
        if (count > batch.G)
            batch.G = count;
    }
    if (!with_target)
        return batch;
    target = read_numbers(file, "decoder_input_ids");
    labels = read_numbers(file, "labels");
    if (target == NULL) {
        const Numbers *from = labels != NULL && model->head == HEAD_LM ? labels : source;
        int64_t *shifted = memory((size_t)(from->rows * from->columns), sizeof *shifted);
        Numbers *made = memory(1, sizeof *made);
        for (i = 0; i < from->rows * from->columns; i++) {
            shifted[i] = i % from->columns == 0 ? model->start : from->ids[i - 1];
            if (shifted[i] == -100)
                shifted[i] = model->pad;
        }
        *made = *from;
        made->ids = shifted;
        target = made;
    }
    if (target->rows != batch.B || target->columns < 1)
        refuse("input", "decoder_input_ids");
    batch.T = target->columns;
    batch.target = target->ids;
    batch.to_see = read_mask(file, "decoder_attention_mask", batch.B, batch.T, 1);
    return batch;
}

/* log1p_exp is log(1 + exp(x)) without overflow. */
static double log1p_exp(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

/*
 * mean_surprise is the loss of labels over logits (rows, size). d gets its gradient, times weight.
 * A label of -100 does not count.
 */
static double mean_surprise(const real *logits, const int64_t *labels, long rows, long size, long row_step, long step,
                            double weight, real *d)
{
    double sum = 0;
    long i, m, count = 0;
    for (i = 0; i < rows; i++)
        count += labels[i] != -100;
    for (i = 0; i < rows; i++) {
        const real *row = logits + i * row_step;
        double of_row;
        if (labels[i] == -100)
            continue;
        if (labels[i] < 0 || labels[i] >= size)
            refuse("input", "a label is no class");
        of_row = log_sum(row, size, step);
        sum += of_row - (double)row[labels[i] * step];
        for (m = 0; m < size; m++)
            d[i * row_step + m * step] =
                (real)(weight / (double)count * (exp((double)row[m * step] - of_row) - (m == labels[i])));
    }
    return weight * sum / (double)count; /* 0 / 0 is NaN: no label counts */
}

static double answers_loss(const Batch *batch, const Tensors *file, const real *scores, real *d)
{
    static const char *const NAMES[] = {"start_positions", "end_positions"};
    double loss = 0;
    int end;
    for (end = 0; end < 2; end++) {
        const Numbers *places = read_numbers(file, NAMES[end]);
        int64_t *labels = memory((size_t)batch->B, sizeof *labels);
        long b;
        if (places->rows != batch->B || places->columns != 1)
            refuse("input", NAMES[end]);
        for (b = 0; b < batch->B; b++)
            labels[b] = places->ids[b] < 0 ? 0 : places->ids[b] >= batch->T ? -100 : places->ids[b];
        loss += mean_surprise(scores + end, labels, batch->B, batch->T, 2 * batch->T, 2, 0.5, d + end);
    }
    return loss;
}

static double classes_loss(const Model *model, const Batch *batch, const Numbers *labels, const real *z, real *d)
{
    const char *problem = model->problem;
    long count = batch->B * model->labels, i;
    double loss = 0;
    if (*problem == 0)
        problem = model->labels == 1 ? "regression" : labels->floats ? "multi_label_classification" : "single_label_classification";
    if (strcmp(problem, "single_label_classification") == 0) {
        if (labels->rows != batch->B || labels->columns != 1)
            refuse("input", "labels");
        return mean_surprise(z, labels->ids, batch->B, model->labels, model->labels, 1, 1, d);
    }
    if (labels->rows * labels->columns != count)
        refuse("input", "labels");
    for (i = 0; i < count; i++) {
        double x = z[i], y = labels->values[i];
        if (strcmp(problem, "regression") == 0) {
            loss += (x - y) * (x - y) / (double)count;
            d[i] = (real)(2 * (x - y) / (double)count);
        } else {
            loss += (y * log1p_exp(-x) + (1 - y) * log1p_exp(x)) / (double)count;
            d[i] = (real)((1 / (1 + exp(-x)) - y) / (double)count);
        }
    }
    return loss;
}

/* Result is what the backward pass begins with: the gradient of the loss with respect to what the head gives. */
typedef struct {
    int has_loss;
    double loss;
    real *d;      /* in the shape of the head's last stage */
    long *places; /* (B,) of classes: the last end token */
    real *states; /* (B, S, E) of the encoder */
} Result;

static void heads(const Model *model, const Batch *batch, const Tensors *file, real *h, Out *out, Result *result)
{
    long B = batch->B, T = batch->T, E = model->size, b, i;
    const Numbers *labels = read_numbers(file, "labels");
    if (model->head == HEAD_LM) {
        long V = model->vocabulary;
        real *raw, *logits = lm_logits(model, h, B * T, &raw);
        int64_t *tokens = memory((size_t)(B * T), sizeof *tokens);
        for (i = 0; i < B * T; i++)
            tokens[i] = largest(logits + i * V, V);
        show(out, "lm_head", "", 'r', raw, 3, B, T, V, 1);
        show(out, "logits", "", 'r', logits, 3, B, T, V, 1);
        show(out, "tokens", "", 'i', tokens, 2, B, T, 1, 1);
        if (labels != NULL) {
            if (labels->rows != B || labels->columns != T)
                refuse("input", "labels");
            result->d = reals(B, T, V);
            result->loss = mean_surprise(logits, labels->ids, B * T, V, V, 1, 1, result->d);
            result->has_loss = 1;
        }
    } else if (model->head == HEAD_ANSWERS) {
        real *scores = shown_linear(&model->qa_outputs, h, B, T, out);
        if (find(file, "start_positions") != NULL && find(file, "end_positions") != NULL) {
            result->d = reals(B, T, 2);
            result->loss = answers_loss(batch, file, scores, result->d);
            result->has_loss = 1;
        }
    } else {
        real *last = reals(B, E, 1), *z, *y;
        result->places = memory((size_t)B, sizeof(long));
        for (b = 0; b < B; b++) {
            long place = -1;
            for (i = 0; i < batch->S && i < T; i++)
                if (batch->source[b * batch->S + i] == model->eos)
                    place = i;
            if (place < 0)
                refuse("input", "a text for classification has no end token");
            result->places[b] = place;
            memcpy(last + b * E, h + (b * T + place) * E, (size_t)E * sizeof(real));
        }
        z = linear(&model->dense, last, B);
        show(out, model->dense.name, "", 'r', z, 2, B, E, 1, 1);
        y = reals(B, E, 1);
        for (i = 0; i < B * E; i++)
            y[i] = (real)tanh((double)z[i]);
        z = linear(&model->out_proj, y, B);
        show(out, model->out_proj.name, "", 'r', z, 2, B, model->labels, 1, 1);
        if (labels != NULL) {
            result->d = reals(B, model->labels, 1);
            result->loss = classes_loss(model, batch, labels, z, result->d);
            result->has_loss = 1;
        }
    }
    if (result->has_loss) {
        real *loss = reals(1, 1, 1);
        *loss = (real)result->loss;
        show(out, "loss", "", 'r', loss, 0, 1, 1, 1, 1);
    }
}

static Result forward(const Model *model, const Batch *batch, const Tensors *file, Out *out)
{
    Result result;
    Cache cache;
    memset(&result, 0, sizeof result);
    result.states = encoder(model, batch, out);
    cache = make_cache(model, batch, result.states, batch->B, batch->T, out);
    heads(model, batch, file, decoder(model, batch, &cache, batch->target, batch->T, batch->to_see, out), out, &result);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------------
 * 6  The backward pass
 *
 * The stages that the forward pass has shown are the tape. d_x is the gradient of the loss with respect to x, in the
 * shape of x. What is used twice gets two gradients, and they add up; so functions add to what they are given.
 * --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const Model *model;
    const Batch *batch;
    const Out *tape;
    Out *gradients;
} Back;

static const real *stage(const Back *back, const char *first, const char *second)
{
    const Shown *shown = shown_as(back->tape, first, second);
    if (shown == NULL)
        refuse("stage", first);
    return shown->data;
}

/* show_gradient: d is an array (B, N, size) that does not change any more. */
static void show_gradient(Back *back, const char *name, const char *second, real *d, long B, long N, long size)
{
    char whole[NAME_SIZE];
    join(whole, "grad.", name, second);
    show(back->gradients, whole, "", 'r', d, 3, B, N, size, 1);
}

/* of_weight gives the gradient of a weight, which is 0 where it is asked for first. A vector has 0 columns. */
static real *of_weight(Back *back, const char *stage_name, const char *part, long rows, long columns)
{
    char name[NAME_SIZE];
    Shown *shown;
    weight_name(name, stage_name, part);
    shown = shown_as(back->gradients, "grad.", name);
    if (shown == NULL) {
        real *made = reals(rows, columns > 0 ? columns : 1, 1);
        shown = show(back->gradients, "grad.", name, 'r', made, columns > 0 ? 2 : 1, rows, columns > 0 ? columns : 1, 1, 1);
    }
    return shown->data;
}

static real *of_table(Back *back, const char *stage_name)
{
    return of_weight(back, back->model->tied ? "shared" : stage_name, ".weight", back->model->vocabulary, back->model->size);
}

static real *copied(const real *x, long count)
{
    real *copy = reals(count, 1, 1);
    memcpy(copy, x, (size_t)count * sizeof *copy);
    return copy;
}

/* linear_back: d_weight += d_y^T x, d_bias += the sum of the rows of d_y, d_x += d_y weight. */
static void linear_back(Back *back, const Linear *l, const real *d_y, const real *x, long rows, real *d_x)
{
    real *d_weight = l->bias != NULL ? of_weight(back, l->name, ".weight", l->outputs, l->inputs) : of_table(back, l->name);
    real *d_bias = l->bias != NULL ? of_weight(back, l->name, ".bias", l->outputs, 0) : NULL;
    long i, m;
    for (i = 0; i < rows; i++)
        for (m = 0; m < l->outputs; m++) {
            real d = d_y[i * l->outputs + m];
            if (d_bias != NULL)
                d_bias[m] += d;
            add_scaled(d_weight + m * l->inputs, d, x + i * l->inputs, l->inputs);
            add_scaled(d_x + i * l->inputs, d, l->weight + m * l->inputs, l->inputs);
        }
}

/* norm_back gives the gradient of x + y, which is that of x and that of y. */
static real *norm_back(Back *back, const Norm *norm, const real *d_z, const real *x, const real *y, long rows)
{
    long E = back->model->size, i, e;
    real *d_weight = of_weight(back, norm->name, ".weight", E, 0), *d_bias = of_weight(back, norm->name, ".bias", E, 0);
    real *sum = copied(x, rows * E), *inverse = reals(rows, 1, 1), *d_sum = reals(rows, E, 1), *n;
    add_scaled(sum, 1, y, rows * E);
    n = norm_rows(sum, rows, E, inverse);
    for (i = 0; i < rows; i++) {
        real mean = 0, along = 0;
        for (e = 0; e < E; e++) {
            real d = d_z[i * E + e], d_n = d * norm->weight[e];
            d_weight[e] += d * n[i * E + e];
            d_bias[e] += d;
            mean += d_n / (real)E;
            along += d_n * n[i * E + e] / (real)E;
            d_sum[i * E + e] = d_n;
        }
        for (e = 0; e < E; e++)
            d_sum[i * E + e] = (d_sum[i * E + e] - mean - n[i * E + e] * along) * inverse[i];
    }
    return d_sum;
}

/* slope is how fast activate(x) grows with x. */
static double slope(Activation which, double x)
{
    const double root = 0.79788456080286535588; /* sqrt(2 / pi) */
    double t, factor = which == QUICK_GELU ? 1.702 : 1;
    switch (which) {
    case GELU: return (1 + erf(x * 0.70710678118654752440)) / 2 + x * exp(-x * x / 2) * root / 2;
    case GELU_TANH:
        t = tanh(root * (x + 0.044715 * x * x * x));
        return (1 + t) / 2 + x * (1 - t * t) / 2 * root * (1 + 3 * 0.044715 * x * x);
    case QUICK_GELU:
    case SILU:
        t = 1 / (1 + exp(-factor * x));
        return t + factor * x * t * (1 - t);
    default: return x > 0;
    }
}

/* feed_forward_back: d is the gradient of the layer's result, x (B, N, E) is what entered. */
static real *feed_forward_back(Back *back, const Layer *layer, real *d, const real *x, long B, long N)
{
    long E = back->model->size, F = layer->fc1.outputs, i;
    const real *f = stage(back, layer->fc1.name, "");
    real *d_f = reals(B, N, F), *d_sum, *d_x;
    show_gradient(back, layer->final_norm.name, "", d, B, N, E);
    d_sum = norm_back(back, &layer->final_norm, d, x, stage(back, layer->fc2.name, ""), B * N);
    show_gradient(back, layer->fc2.name, "", d_sum, B, N, E);
    linear_back(back, &layer->fc2, d_sum, stage(back, layer->activation_name, ""), B * N, d_f);
    for (i = 0; i < B * N * F; i++)
        d_f[i] *= (real)slope(back->model->activation, (double)f[i]);
    show_gradient(back, layer->fc1.name, "", d_f, B, N, F);
    d_x = copied(d_sum, B * N * E);
    linear_back(back, &layer->fc1, d_f, x, B * N, d_x);
    return d_x;
}

/* attend_back is one query row, as attend. p of head n stands at probs + n * stride. Values alone get a gradient where
 * the row has seen no key: its scores depend on nothing. */
static void attend_back(const real *q, const real *k, const real *v, const real *probs, long stride, const real *d_context,
                        long keys, long E, long heads, int any, real *d_q, real *d_k, real *d_v)
{
    long D = E / heads, n, j;
    real scale = (real)(1 / sqrt((double)D));
    for (n = 0; n < heads; n++) {
        const real *p = probs + n * stride, *d = d_context + n * D;
        real mean = 0;
        for (j = 0; j < keys; j++) {
            add_scaled(d_v + j * E + n * D, p[j], d, D);
            mean += p[j] * dot(d, v + j * E + n * D, D);
        }
        for (j = 0; any && j < keys; j++) {
            real d_score = p[j] * (dot(d, v + j * E + n * D, D) - mean) * scale;
            add_scaled(d_q + n * D, d_score, k + j * E + n * D, D);
            add_scaled(d_k + j * E + n * D, d_score, q + n * D, D);
        }
    }
}

/*
 * decoder_attention_back: d is the gradient of the output, h (B, T, E) made the queries, and x (B, X, E) the keys.
 * It adds to d_h and d_x, which may be one array.
 */
static void decoder_attention_back(Back *back, const Attention *attention, const real *d, const real *h, const real *x, long X,
                                   const unsigned char *mask, int causal, real *d_h, real *d_x)
{
    long B = back->batch->B, T = back->batch->T, E = back->model->size, H = back->model->sides[DECODER].heads, b, i, j;
    const real *q = stage(back, attention->query.name, ""), *k = stage(back, attention->key.name, "");
    const real *v = stage(back, attention->value.name, ""), *probs = stage(back, attention->name, ".probs");
    real *d_context = reals(B, T, E), *d_q = reals(B, T, E), *d_k = reals(B, X, E), *d_v = reals(B, X, E);
    linear_back(back, &attention->output, d, stage(back, attention->name, ".context"), B * T, d_context);
    show_gradient(back, attention->name, ".context", d_context, B, T, E);
    for (b = 0; b < B; b++)
        for (i = 0; i < T; i++) {
            long row = (b * T + i) * E;
            int any = 0;
            for (j = 0; j < X && !(causal && j > i); j++)
                any |= mask == NULL || mask[b * X + j];
            attend_back(q + row, k + b * X * E, v + b * X * E, probs + (b * H * T + i) * X, T * X, d_context + row, X, E, H, any,
                        d_q + row, d_k + b * X * E, d_v + b * X * E);
        }
    show_gradient(back, attention->query.name, "", d_q, B, T, E);
    show_gradient(back, attention->key.name, "", d_k, B, X, E);
    show_gradient(back, attention->value.name, "", d_v, B, X, E);
    linear_back(back, &attention->query, d_q, h, B * T, d_h);
    linear_back(back, &attention->key, d_k, x, B * X, d_x);
    linear_back(back, &attention->value, d_v, x, B * X, d_x);
}

/* entering is what enters layer i of a side. */
static const real *entering(const Back *back, const Side *side, long i)
{
    return stage(back, i > 0 ? side->layers[i - 1].final_norm.name : side->norm.name, "");
}

static real *decoder_layer_back(Back *back, long i, real *d, const real *states, real *d_states)
{
    const Layer *layer = &back->model->sides[DECODER].layers[i];
    const real *h = entering(back, &back->model->sides[DECODER], i), *h1 = stage(back, layer->self_norm.name, "");
    long B = back->batch->B, T = back->batch->T, E = back->model->size;
    real *d_sum, *d_h;
    d = feed_forward_back(back, layer, d, stage(back, layer->cross_norm.name, ""), B, T);
    show_gradient(back, layer->cross_norm.name, "", d, B, T, E);
    d_sum = norm_back(back, &layer->cross_norm, d, h1, stage(back, layer->cross.output.name, ""), B * T);
    show_gradient(back, layer->cross.output.name, "", d_sum, B, T, E);
    d_h = copied(d_sum, B * T * E);
    decoder_attention_back(back, &layer->cross, d_sum, h1, states, back->batch->S, back->batch->is_real, 0, d_h, d_states);
    show_gradient(back, layer->self_norm.name, "", d_h, B, T, E);
    d_sum = norm_back(back, &layer->self_norm, d_h, h, stage(back, layer->self.output.name, ""), B * T);
    show_gradient(back, layer->self.output.name, "", d_sum, B, T, E);
    d_h = copied(d_sum, B * T * E);
    decoder_attention_back(back, &layer->self, d_sum, h, h, T, T > 1 ? back->batch->to_see : NULL, 1, d_h, d_h);
    return d_h;
}

static real *encoder_layer_back(Back *back, long layer_number, real *d)
{
    const Batch *batch = back->batch;
    const Side *side = &back->model->sides[ENCODER];
    const Layer *layer = &side->layers[layer_number];
    const Attention *sets[2];
    long B = batch->B, S = batch->S, G = batch->G, E = back->model->size, H = side->heads, b, i, g;
    const real *h = entering(back, side, layer_number), *probs = stage(back, layer->self.name, ".probs");
    const real *q[2], *k[2], *v[2], *gathered;
    real *d_q[2], *d_k[2], *d_v[2], *d_context = reals(B, S, E), *d_sum, *d_h, *d_gathered;
    int set, last = G > 0;
    sets[0] = &layer->self;
    sets[1] = &layer->global;
    d = feed_forward_back(back, layer, d, stage(back, layer->self_norm.name, ""), B, S);
    show_gradient(back, layer->self_norm.name, "", d, B, S, E);
    d_sum = norm_back(back, &layer->self_norm, d, h, stage(back, layer->self.output.name, ""), B * S);
    show_gradient(back, layer->self.output.name, "", d_sum, B, S, E);
    linear_back(back, &layer->self.output, d_sum, stage(back, layer->self.name, ".longformer_self_attn"), B * S, d_context);
    show_gradient(back, layer->self.name, ".longformer_self_attn", d_context, B, S, E);
    for (set = 0; set <= last; set++) {
        q[set] = stage(back, sets[set]->query.name, "");
        k[set] = stage(back, sets[set]->key.name, "");
        v[set] = stage(back, sets[set]->value.name, "");
        d_q[set] = reals(B, set == 0 ? S : G, E);
        d_k[set] = reals(B, S, E);
        d_v[set] = reals(B, S, E);
    }
    for (b = 0; b < B; b++)
        for (i = g = 0; i < S; i++) {
            long row = (b * S + i) * E, from = b * S * E, of_query = row;
            set = batch->is_global[b * S + i];
            if (set == 1)
                of_query = (b * G + g++) * E;
            attend_back(q[set] + of_query, k[set] + from, v[set] + from, probs + (b * H * S + i) * S, S * S, d_context + row, S,
                        E, H, 1, d_q[set] + of_query, d_k[set] + from, d_v[set] + from);
        }
    d_h = copied(d_sum, B * S * E);
    for (set = 0; set <= last; set++) {
        show_gradient(back, sets[set]->key.name, "", d_k[set], B, S, E);
        show_gradient(back, sets[set]->value.name, "", d_v[set], B, S, E);
        show_gradient(back, sets[set]->query.name, "", d_q[set], B, set == 0 ? S : G, E);
        linear_back(back, &sets[set]->key, d_k[set], h, B * S, d_h);
        linear_back(back, &sets[set]->value, d_v[set], h, B * S, d_h);
    }
    linear_back(back, &layer->self.query, d_q[0], h, B * S, d_h);
    if (G > 0) {
        gathered = gather_global(batch, h, E);
        d_gathered = reals(B, G, E);
        linear_back(back, &layer->global.query, d_q[1], gathered, B * G, d_gathered);
        for (b = 0; b < B; b++)
            for (i = g = 0; i < S; i++)
                if (batch->is_global[b * S + i])
                    add_scaled(d_h + (b * S + i) * E, 1, d_gathered + (b * G + g++) * E, E);
    }
    return d_h;
}

/* embed_back: a look-up of the padding id gives its row nothing. */
static void embed_back(Back *back, const Side *side, const int64_t *ids, real *d, long B, long N)
{
    long E = back->model->size, i;
    char name[NAME_SIZE];
    real *d_sum, *d_table, *d_positions;
    show_gradient(back, side->norm.name, "", d, B, N, E);
    d_sum = norm_back(back, &side->norm, d, stage(back, side->name, ".embed_tokens"), stage(back, side->name, ".embed_positions"),
                      B * N);
    show_gradient(back, side->name, ".embed_tokens", d_sum, B, N, E);
    join(name, side->name, ".embed_tokens", "");
    d_table = of_table(back, name);
    join(name, side->name, ".embed_positions", "");
    d_positions = of_weight(back, name, ".weight", side->positions, E);
    for (i = 0; i < B * N; i++) {
        if (ids[i] != back->model->pad)
            add_scaled(d_table + ids[i] * E, 1, d_sum + i * E, E);
        add_scaled(d_positions + i % N * E, 1, d_sum + i * E, E);
    }
}

/* heads_back gives the gradient of the decoder's states h (B, T, E). */
static real *heads_back(Back *back, const Result *result, const real *h)
{
    const Model *model = back->model;
    long B = back->batch->B, T = back->batch->T, E = model->size, b, i;
    real *d_h = reals(B, T, E);
    if (model->head == HEAD_LM) {
        show_gradient(back, "logits", "", result->d, B, T, model->vocabulary);
        linear_back(back, &model->lm_head, result->d, h, B * T, d_h);
    } else if (model->head == HEAD_ANSWERS) {
        show_gradient(back, "qa_outputs", "", result->d, B, T, 2);
        linear_back(back, &model->qa_outputs, result->d, h, B * T, d_h);
    } else {
        const real *z = stage(back, model->dense.name, "");
        real *y = reals(B, E, 1), *d_y = reals(B, E, 1), *last = reals(B, E, 1), *d_last = reals(B, E, 1);
        for (b = 0; b < B; b++)
            memcpy(last + b * E, h + (b * T + result->places[b]) * E, (size_t)E * sizeof(real));
        for (i = 0; i < B * E; i++)
            y[i] = (real)tanh((double)z[i]);
        linear_back(back, &model->out_proj, result->d, y, B, d_y);
        for (i = 0; i < B * E; i++)
            d_y[i] *= 1 - y[i] * y[i];
        linear_back(back, &model->dense, d_y, last, B, d_last);
        for (b = 0; b < B; b++)
            add_scaled(d_h + (b * T + result->places[b]) * E, 1, d_last + b * E, E);
        show(back->gradients, "grad.", model->out_proj.name, 'r', result->d, 2, B, model->labels, 1, 1);
        show(back->gradients, "grad.", model->dense.name, 'r', d_y, 2, B, E, 1, 1);
    }
    return d_h;
}

static void backward(const Model *model, const Batch *batch, const Out *tape, const Result *result, Out *gradients)
{
    const Side *source = &model->sides[ENCODER], *target = &model->sides[DECODER];
    real *d_states = reals(batch->B, batch->S, model->size), *loss = reals(1, 1, 1), *d;
    Back back;
    long i;
    back.model = model;
    back.batch = batch;
    back.tape = tape;
    back.gradients = gradients;
    *loss = (real)result->loss;
    show(gradients, "loss", "", 'r', loss, 0, 1, 1, 1, 1);
    d = heads_back(&back, result, entering(&back, target, target->count));
    for (i = target->count - 1; i >= 0; i--)
        d = decoder_layer_back(&back, i, d, result->states, d_states);
    embed_back(&back, target, batch->target, d, batch->B, batch->T);
    for (d = d_states, i = source->count - 1; i >= 0; i--)
        d = encoder_layer_back(&back, i, d);
    embed_back(&back, source, batch->source, d, batch->B, batch->S);
}

/* ------------------------------------------------------------------------------------------------------------------
 * 7  Generation
 *
 * A search has rows = documents * beams. Scores and sums are float32. Greedy search has one beam.
 * --------------------------------------------------------------------------------------------------------------- */

typedef enum { EARLY_FALSE, EARLY_TRUE, EARLY_NEVER } Early;

typedef struct {
    long beams, returned, longest, shortest, least_new, ngram, end_count;
    double length_penalty;
    float repetition_penalty;
    Early early;
    const Json *words, *never, *never_first; /* bad_words_ids, suppress_tokens, begin_suppress_tokens; NULL is none */
    int64_t first, last; /* forced tokens, or -1 */
    int64_t start, pad;
    int64_t ends[16];
} Settings;

/* list_of gives the first member of a list, or NULL. */
static const Json *list_of(const Json *json, const char *name)
{
    const Json *value = member(json, name);
    return value != NULL && value->kind == J_LIST ? value->first : NULL;
}

static Settings read_settings(const char *folder)
{
    Bytes text = read_file(folder, "settings.json");
    const Json *json = read_json(text.bytes, text.size), *value, *each;
    Settings s;
    memset(&s, 0, sizeof s);
    s.beams = size_of(json, "num_beams", 1);
    s.returned = size_of(json, "num_return_sequences", 1);
    s.longest = size_of(json, "max_length", 20);
    s.shortest = (long)integer_of(json, "min_length", 0);
    s.least_new = (long)integer_of(json, "min_new_tokens", 0);
    s.ngram = (long)integer_of(json, "no_repeat_ngram_size", 0);
    s.words = list_of(json, "bad_words_ids");
    s.never = list_of(json, "suppress_tokens");
    s.never_first = list_of(json, "begin_suppress_tokens");
    value = member(json, "repetition_penalty");
    s.repetition_penalty = value != NULL ? (float)value->number : 1;
    s.first = integer_of(json, "forced_bos_token_id", -1);
    s.last = integer_of(json, "forced_eos_token_id", -1);
    s.start = integer_of(json, "decoder_start_token_id", 2);
    s.pad = integer_of(json, "pad_token_id", 1);
    value = member(json, "length_penalty");
    s.length_penalty = value != NULL ? value->number : 1;
    value = member(json, "early_stopping");
    if (value != NULL)
        s.early = value->kind == J_TRUE ? EARLY_TRUE : value->kind == J_STRING ? EARLY_NEVER : EARLY_FALSE;
    value = member(json, "eos_token_id");
    if (value != NULL && value->kind == J_INTEGER)
        s.ends[s.end_count++] = value->integer;
    for (each = value != NULL && value->kind == J_LIST ? value->first : NULL; each != NULL && s.end_count < 16; each = each->next)
        s.ends[s.end_count++] = each->integer;
    if (s.returned > s.beams || s.beams > 1 << 12 || s.longest < 2 || s.longest > 1 << 20)
        refuse("config", "settings.json");
    return s;
}

static int is_end(const Settings *s, int64_t id)
{
    long i;
    for (i = 0; i < s->end_count; i++)
        if (s->ends[i] == id)
            return 1;
    return 0;
}

/* force leaves one token, with score 0. */
static void force(float *scores, long V, int64_t id)
{
    long v;
    for (v = 0; v < V; v++)
        scores[v] = v == id ? 0 : -(float)INFINITY;
}

static void forbid(float *scores, long V, int64_t id)
{
    if (id >= 0 && id < V)
        scores[id] = -(float)INFINITY;
}

/* is_known: whether an id stands among the first ones of a row. */
static int is_known(const int64_t *ids, long size, int64_t id)
{
    while (size > 0)
        if (ids[--size] == id)
            return 1;
    return 0;
}

/* forbid_word forbids the last id of a word where the row ends with the others. A word that is one end is left out. */
static void forbid_word(const Settings *s, const Json *word, const int64_t *ids, long size, float *scores, long V)
{
    const Json *each;
    long count = 0, i = 0;
    for (each = word; each != NULL; each = each->next)
        count++;
    if (count == 0 || count - 1 > size || (count == 1 && is_end(s, word->integer)))
        return;
    for (each = word; i < count - 1 && ids[size - (count - 1) + i] == each->integer; each = each->next)
        i++;
    if (i == count - 1)
        forbid(scores, V, each->integer);
}

/* apply_rules changes the scores (V,) of a row that has the given ids. */
static void apply_rules(const Settings *s, const int64_t *ids, long size, float *scores, long V)
{
    long i, n = s->ngram;
    const Json *each;
    for (i = 0; s->repetition_penalty != 1 && i < size; i++)
        if (ids[i] >= 0 && ids[i] < V && !is_known(ids, i, ids[i]))
            scores[ids[i]] = scores[ids[i]] < 0 ? scores[ids[i]] * s->repetition_penalty : scores[ids[i]] / s->repetition_penalty;
    for (i = 0; n > 0 && i + n <= size; i++) /* the n ids at i begin as the last n - 1 ids and the next one would */
        if (memcmp(ids + i, ids + size - (n - 1), (size_t)(n - 1) * sizeof *ids) == 0)
            forbid(scores, V, ids[i + n - 1]);
    for (each = s->words; each != NULL; each = each->next)
        forbid_word(s, each->first, ids, size, scores, V);
    for (i = 0; i < s->end_count && (size < s->shortest || size < 1 + s->least_new); i++)
        forbid(scores, V, s->ends[i]);
    if (size == 1 && s->first >= 0)
        force(scores, V, s->first);
    if (size == s->longest - 1 && s->last >= 0)
        force(scores, V, s->last);
    for (each = s->never; each != NULL; each = each->next)
        forbid(scores, V, each->integer);
    for (each = size == (s->first >= 0 ? 2 : 1) ? s->never_first : NULL; each != NULL; each = each->next)
        forbid(scores, V, each->integer);
}

static void log_softmax(float *row, long V)
{
    double most = -INFINITY, sum = 0;
    long v;
    for (v = 0; v < V; v++)
        if (row[v] > most)
            most = row[v];
    for (v = 0; v < V; v++)
        sum += exp(row[v] - most);
    for (v = 0; v < V; v++)
        row[v] = (float)(row[v] - most - log(sum));
}

/* next_scores computes one token of each row: the last id of each. scores is (rows, V). */
static void next_scores(const Model *model, const Batch *batch, Cache *cache, const Settings *s, const int64_t *ids, long size,
                        float *scores)
{
    long V = model->vocabulary, rows = cache->rows, r, v;
    Block *mark = newest;
    int64_t *last = memory((size_t)rows, sizeof *last);
    real *h, *logits;
    for (r = 0; r < rows; r++)
        last[r] = ids[r * s->longest + size - 1];
    h = decoder(model, batch, cache, last, 1, NULL, NULL);
    logits = lm_logits(model, h, rows, NULL);
    for (r = 0; r < rows; r++) {
        float *row = scores + r * V;
        for (v = 0; v < V; v++)
            row[v] = (float)logits[r * V + v];
        if (s->beams > 1)
            log_softmax(row, V);
        apply_rules(s, ids + r * s->longest, size, row, V);
    }
    release(mark);
}

/* select_rows: row r of the cache becomes what row from[r] was. Each document's source stays where it is. */
static void select_rows(const Model *model, Cache *cache, const long *from)
{
    size_t size = (size_t)(cache->room * model->size);
    long i, r;
    int part;
    for (i = 0; i < model->sides[DECODER].count; i++)
        for (part = 0; part < 2; part++) {
            real *now = part == 0 ? cache->self_key[i] : cache->self_value[i];
            Block *mark = newest;
            real *old = reals(cache->rows, cache->room, model->size);
            memcpy(old, now, (size_t)cache->rows * size * sizeof(real));
            for (r = 0; r < cache->rows; r++)
                memcpy(now + (size_t)r * size, old + (size_t)from[r] * size, size * sizeof(real));
            release(mark);
        }
}

static int64_t *filled(long count, int64_t value)
{
    int64_t *made = memory((size_t)count, sizeof *made);
    long i;
    for (i = 0; i < count; i++)
        made[i] = value;
    return made;
}

/* cut makes (rows, width) of (rows, room). */
static int64_t *cut(const int64_t *ids, long rows, long room, long width)
{
    int64_t *made = memory((size_t)(rows * width), sizeof *made);
    long r;
    for (r = 0; r < rows; r++)
        memcpy(made + r * width, ids + r * room, (size_t)width * sizeof *made);
    return made;
}

static void greedy(const Model *model, const Batch *batch, Cache *cache, const Settings *s, float *scores, Out *out)
{
    long B = batch->B, V = model->vocabulary, size, b, v, running = B;
    int64_t *ids = filled(B * s->longest, s->pad);
    unsigned char *done = memory((size_t)B, 1);
    for (b = 0; b < B; b++)
        ids[b * s->longest] = s->start;
    for (size = 1; size < s->longest && running > 0; size++) {
        float *step = scores + (size - 1) * B * V;
        next_scores(model, batch, cache, s, ids, size, step);
        for (b = 0; b < B; b++) {
            const float *row = step + b * V;
            long best = 0;
            if (done[b])
                continue;
            for (v = 1; v < V; v++)
                if (row[v] > row[best])
                    best = v;
            ids[b * s->longest + size] = best;
            if (is_end(s, best)) {
                done[b] = 1;
                running--;
            }
        }
    }
    show(out, "sequences", "", 'i', cut(ids, B, s->longest, size), 2, B, size, 1, 1);
    show(out, "scores", "", 'f', scores, 3, size - 1, B, V, 1);
}

/* Hypothesis is a row of ids, the rows of scores that they were chosen from, and a sum; in a slot it is a score. */
typedef struct {
    int64_t *ids, *rows; /* (longest,), of rows the first one is that of ids[1] */
    long size;           /* ids; 0 is an empty slot */
    float score;
} Hypothesis;

typedef struct {
    Hypothesis *running, *slots; /* (beams,) */
    int done;
} Document;

typedef struct {
    float sum;
    long beam, id;
} Candidate;

static Hypothesis *make_hypotheses(const Settings *s)
{
    Hypothesis *made = memory((size_t)s->beams, sizeof *made);
    long n;
    for (n = 0; n < s->beams; n++) {
        made[n].ids = filled(s->longest, s->pad);
        made[n].rows = filled(s->longest, -1);
    }
    return made;
}

/* extend writes what a candidate is: hypothesis from with one id more. */
static void extend(const Settings *s, Hypothesis *to, const Hypothesis *from, int64_t id, int64_t row, float score)
{
    memcpy(to->ids, from->ids, (size_t)s->longest * sizeof *to->ids);
    memcpy(to->rows, from->rows, (size_t)s->longest * sizeof *to->rows);
    to->ids[from->size] = id;
    to->rows[from->size - 1] = row;
    to->size = from->size + 1;
    to->score = score;
}

/* best_candidates: the best count of all extensions, best first; of equal ones the one with the lowest beam V + id. */
static long best_candidates(const Settings *s, const Document *document, const float *scores, long V, Candidate *best, long most)
{
    long n, v, i, count = 0;
    for (n = 0; n < s->beams; n++)
        for (v = 0; v < V; v++) {
            float sum = document->running[n].score + scores[n * V + v];
            if (count == most && !(sum > best[count - 1].sum))
                continue;
            if (count < most)
                count++;
            for (i = count - 1; i > 0 && sum > best[i - 1].sum; i--)
                best[i] = best[i - 1];
            best[i].sum = sum;
            best[i].beam = n;
            best[i].id = v;
        }
    return count;
}

/* fill_slot: a finished hypothesis takes its place among the slots; the worst one falls out. */
static void fill_slot(const Settings *s, Document *document, const Hypothesis *from, int64_t id, int64_t row, float score)
{
    Hypothesis *slots = document->slots, last = slots[s->beams - 1];
    long i;
    if (last.size > 0 && !(score > last.score))
        return;
    for (i = s->beams - 1; i > 0 && (slots[i - 1].size == 0 || score > slots[i - 1].score); i--)
        slots[i] = slots[i - 1];
    slots[i] = last; /* its arrays are used again */
    extend(s, &slots[i], from, id, row, score);
}

static float penalized(float sum, long length, double penalty)
{
    return sum / (float)pow((double)length, penalty);
}

/* beam_step moves one document by one token. rows gets the row of the cache that each running hypothesis continues. */
static void beam_step(const Settings *s, Document *document, const float *scores, long V, long first_row, long *rows)
{
    Block *mark = newest;
    long most = (1 + (s->end_count > 1 ? s->end_count : 1)) * s->beams, length = document->running[0].size, i, count, n = 0;
    Candidate *best = memory((size_t)most, sizeof *best);
    Hypothesis *next;
    count = best_candidates(s, document, scores, V, best, most);
    next = make_hypotheses(s);
    for (i = 0; i < count; i++) {
        const Hypothesis *from = &document->running[best[i].beam];
        int64_t row = first_row + best[i].beam;
        if (is_end(s, best[i].id) || length + 1 >= s->longest) {
            if (i < s->beams)
                fill_slot(s, document, from, best[i].id, row, penalized(best[i].sum, length, s->length_penalty));
        } else if (n < s->beams) {
            rows[n] = (long)row;
            extend(s, &next[n++], from, best[i].id, row, best[i].sum);
        }
    }
    document->done = n == 0;
    if (n > 0 && document->slots[s->beams - 1].size > 0) {
        long guessed = s->early == EARLY_NEVER && s->length_penalty > 0 ? s->longest - 1 : length;
        float hope = penalized(next[0].score, guessed, s->length_penalty);
        document->done = s->early == EARLY_TRUE || !(hope > document->slots[s->beams - 1].score);
    }
    for (i = 0; i < s->beams && !document->done; i++) {
        Hypothesis *to = &document->running[i];
        const Hypothesis *from = &next[i < n ? i : n - 1];
        memcpy(to->ids, from->ids, (size_t)s->longest * sizeof *to->ids);
        memcpy(to->rows, from->rows, (size_t)s->longest * sizeof *to->rows);
        to->size = from->size;
        to->score = from->score;
        rows[i] = i < n ? rows[i] : rows[n - 1];
    }
    release(mark);
}

static void show_slots(const Settings *s, const Document *documents, long B, Out *out)
{
    long count = B * s->returned, width = 1, i;
    int64_t *ids = filled(count * s->longest, s->pad == 0 && s->end_count > 0 ? s->ends[0] : s->pad);
    int64_t *rows = filled(count * s->longest, -1);
    float *scores = memory((size_t)count, sizeof *scores);
    for (i = 0; i < count; i++) {
        const Hypothesis *slot = &documents[i / s->returned].slots[i % s->returned];
        memcpy(ids + i * s->longest, slot->ids, (size_t)slot->size * sizeof *ids);
        if (slot->size > 0)
            memcpy(rows + i * s->longest, slot->rows, (size_t)(slot->size - 1) * sizeof *rows);
        scores[i] = slot->score;
        if (slot->size > width)
            width = slot->size;
    }
    show(out, "sequences", "", 'i', cut(ids, count, s->longest, width), 2, count, width, 1, 1);
    show(out, "beam_indices", "", 'i', cut(rows, count, s->longest, width - 1), 2, count, width - 1, 1, 1);
    show(out, "sequences_scores", "", 'f', scores, 1, count, 1, 1, 1);
}

static void beam_search(const Model *model, const Batch *batch, Cache *cache, const Settings *s, float *scores, Out *out)
{
    long B = batch->B, V = model->vocabulary, rows = B * s->beams, size, b, n, running = B;
    Document *documents = memory((size_t)B, sizeof *documents);
    int64_t *ids = filled(rows * s->longest, s->pad);
    long *from = memory((size_t)rows, sizeof *from);
    for (b = 0; b < B; b++) {
        documents[b].running = make_hypotheses(s);
        documents[b].slots = make_hypotheses(s);
        for (n = 0; n < s->beams; n++) {
            documents[b].running[n].ids[0] = s->start;
            documents[b].running[n].size = 1;
            documents[b].running[n].score = n == 0 ? 0 : -1e9f;
        }
    }
    for (size = 1; size < s->longest && running > 0; size++) {
        float *step = scores + (size - 1) * rows * V;
        for (n = 0; n < rows; n++)
            memcpy(ids + n * s->longest, documents[n / s->beams].running[n % s->beams].ids, (size_t)s->longest * sizeof *ids);
        next_scores(model, batch, cache, s, ids, size, step);
        for (b = running = 0; b < B; b++) {
            for (n = b * s->beams; n < (b + 1) * s->beams; n++)
                from[n] = n;
            if (!documents[b].done)
                beam_step(s, &documents[b], step + b * s->beams * V, V, b * s->beams, from + b * s->beams);
            running += !documents[b].done;
        }
        select_rows(model, cache, from);
    }
    show_slots(s, documents, B, out);
    show(out, "scores", "", 'f', scores, 3, size - 1, rows, V, 1);
}

static void part_generate(const char *folder, const char *path)
{
    Model *model = read_model(folder);
    Tensors file = read_tensors(folder, "inputs.safetensors");
    Batch batch = read_batch(model, &file, 0);
    Settings s = read_settings(folder);
    long rows = batch.B * s.beams;
    Cache cache;
    Out out = {NULL, 0, 0};
    float *scores;
    if (model->head != HEAD_LM || s.longest - 1 > model->sides[DECODER].positions)
        refuse("config", "max_length, or the head");
    scores = memory((size_t)(s.longest - 1) * (size_t)rows, (size_t)model->vocabulary * sizeof *scores);
    cache = make_cache(model, &batch, encoder(model, &batch, NULL), rows, s.longest - 1, NULL);
    if (s.beams == 1)
        greedy(model, &batch, &cache, &s, scores, &out);
    else
        beam_search(model, &batch, &cache, &s, scores, &out);
    write_tensors(path, &out);
}

/* ------------------------------------------------------------------------------------------------------------------
 * 8  The parts of the kit, and main
 * --------------------------------------------------------------------------------------------------------------- */

static void part_forward(const char *folder, const char *path)
{
    Model *model = read_model(folder);
    Tensors file = read_tensors(folder, "inputs.safetensors");
    Batch batch = read_batch(model, &file, 1);
    Out out = {NULL, 0, 0};
    forward(model, &batch, &file, &out);
    write_tensors(path, &out);
}

static void part_gradients(const char *folder, const char *path)
{
    Model *model = read_model(folder);
    Tensors file = read_tensors(folder, "inputs.safetensors");
    Batch batch = read_batch(model, &file, 1);
    Out tape = {NULL, 0, 0}, gradients = {NULL, 0, 0};
    Result result = forward(model, &batch, &file, &tape);
    if (!result.has_loss)
        refuse("input", "there is no loss without labels or positions");
    backward(model, &batch, &tape, &result, &gradients);
    write_tensors(path, &gradients);
}

int main(int count, char **arguments)
{
    atexit(release_all);
    if (count != 4) {
        fprintf(stderr, "usage: led PART CASE OUT\n");
        return 2;
    }
    if (strcmp(arguments[1], "forward") == 0)
        part_forward(arguments[2], arguments[3]);
    else if (strcmp(arguments[1], "gradients") == 0)
        part_gradients(arguments[2], arguments[3]);
    else if (strcmp(arguments[1], "generate") == 0)
        part_generate(arguments[2], arguments[3]);
    else if (strcmp(arguments[1], "refuse") == 0)
        read_tensors(arguments[2], "model.safetensors");
    else
        return NOT_DONE;
    return 0;
}
