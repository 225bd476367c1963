// A whole interpreter from Debian, liblua5.4.a: tables, strings, closures and
// its garbage collector.
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>
#include "kernel.h"
static const char script[] =
    "local rounds = ...\n"
    "local sum = 0\n"
    "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
    "for round = 1, rounds do\n"
    "  local t = {}\n"
    "  for i = 1, 2000 do t[i] = (i * 7919 + round) % 1009 end\n"
    "  table.sort(t, function(a, b) return a < b end)\n"
    "  local words = {}\n"
    "  for i = 1, 300 do words['k' .. t[i] .. ':' .. i] = i * 1.5 end\n"
    "  for k, v in pairs(words) do sum = (sum + #k + v) % 1000003 end\n"
    "  local s = string.rep('the quick brown fox ', 20)\n"
    "  local n = 0\n"
    "  for w in s:gmatch('%a+') do n = n + #w end\n"
    "  sum = (sum + n + fib(17) + t[1000]) % 1000003\n"
    "end\n"
    "return math.floor(sum)\n";
KERNEL("lua", 300, {
    lua_State *l = luaL_newstate();
    if (!l) exit(1);
    luaL_openlibs(l);
    if (luaL_loadstring(l, script)) exit(2);
    lua_pushinteger(l, n);
    if (lua_pcall(l, 1, 1, 0)) exit(3);
    sum = (uint64_t)lua_tointeger(l, -1);
    lua_close(l);
})
