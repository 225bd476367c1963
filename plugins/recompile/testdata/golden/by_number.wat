(func $by_number (type 0) (param i32) (result i32)
  (local i32)
  (local i64) (local i64)
  (local i32) (local i32)
  block
    block
      local.get 0
      if
        i32.const 6
        i32.const 4200336
        local.get 0
        i32.add
        return_call $fault
      end
    end
    global.get $rdi
    i32.wrap_i64
    i32.const -65536
    i32.add
    i64.load32_u offset=0 align=1
    local.set 2
    local.get 2
    global.set $rcx
    global.get $rsi
    i32.wrap_i64
    i32.const -65536
    i32.add
    i64.load32_u offset=0 align=1
    local.set 3
    local.get 3
    global.set $rdx
    local.get 3
    i32.wrap_i64
    local.set 4
    local.get 2
    i32.wrap_i64
    local.set 5
    local.get 4
    local.get 5
    i32.lt_u
    local.get 5
    local.get 4
    i32.lt_u
    i32.sub
    i64.extend_i32_u
    global.set $rax
    global.get $rsp
    local.set 2
    local.get 2
    i64.const 8
    i64.add
    global.set $rsp
    local.get 2
    i32.wrap_i64
    i32.const -65536
    i32.add
    i32.load offset=0 align=1
    return
  end
  local.get 1
)
