// A whole database from Debian, libsqlite3.a: create, insert, index, select,
// update and join in memory, as speedtest1 of SQLite's own source does.
#include <sqlite3.h>
#include "kernel.h"

static uint64_t checksum;

static int row(void *unused, int columns, char **values, char **names) {
    (void)unused, (void)names;
    for (int i = 0; i < columns; i++)
        for (const char *c = values[i]; c && *c; c++) checksum = checksum * 31 + (unsigned char)*c;
    return 0;
}

static void execute(sqlite3 *db, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, row, NULL, &message) == SQLITE_OK) return;
    fprintf(stderr, "%s: %s\n", sql, message);
    exit(1);
}

static void insert(sqlite3 *db, int rows) {
    sqlite3_stmt *s;
    execute(db, "BEGIN");
    if (sqlite3_prepare_v2(db, "INSERT INTO item VALUES (?, ?, ?, ?)", -1, &s, NULL)) exit(2);
    for (int i = 0; i < rows; i++) {
        char name[32];
        int length = snprintf(name, sizeof name, "item %u of %u", rng() % 1000, i);
        sqlite3_bind_int(s, 1, i);
        sqlite3_bind_int(s, 2, (int)(rng() % 5000));
        sqlite3_bind_double(s, 3, (rng() % 100000) / 100.0);
        sqlite3_bind_text(s, 4, name, length, SQLITE_TRANSIENT);
        if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s)) exit(3);
    }
    sqlite3_finalize(s);
    execute(db, "COMMIT");
}

KERNEL("sqlite", 2, {
    for (long round = 0; round < n; round++) {
        sqlite3 *db;
        if (sqlite3_open(":memory:", &db)) exit(4);
        execute(db, "CREATE TABLE item (id INTEGER PRIMARY KEY, kind INT, price REAL, name TEXT);"
                    "CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT)");
        insert(db, 50000);
        execute(db, "INSERT INTO kind SELECT DISTINCT kind, 'kind ' || kind FROM item");
        execute(db, "SELECT count(*), sum(price), avg(length(name)) FROM item WHERE name LIKE '%7%'");
        execute(db, "CREATE INDEX item_kind ON item (kind); CREATE INDEX item_name ON item (name)");
        execute(db, "SELECT kind, count(*), max(price) FROM item GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 20");
        execute(db, "UPDATE item SET price = price * 1.1 WHERE kind BETWEEN 1000 AND 2000");
        execute(db, "UPDATE item SET name = name || '!' WHERE id % 7 = 0");
        execute(db, "SELECT k.name, count(*), sum(i.price) FROM kind k JOIN item i ON i.kind = k.id GROUP BY k.id HAVING sum(i.price) > 6000 ORDER BY k.name");
        execute(db, "DELETE FROM item WHERE name < 'item 2'; SELECT count(*), min(name) FROM item");
        sqlite3_close(db);
    }
    sum = checksum;
})
