(func $reverse (type 0) (param i32) (result i32)
  (local i32)
  (local i64) (local i64) (local i64) (local i64)
  (local i32) (local i32)
  (local i64)
  block
    block
      block
        block
          block
            local.get 0
            if
              local.get 0
              i32.const 19
              i32.eq
              if
                br 3
              else
              end
              i32.const 6
              i32.const 4200528
              local.get 0
              i32.add
              return_call $fault
            end
          end
          global.get $rdi
          local.set 2
          local.get 2
          global.set $rax
          local.get 2
          i64.eqz
          if
            br 2
          else
          end
          i64.const 0
          global.set $rcx
        end
        global.get $rax
        local.set 3
        global.get $rcx
        local.set 4
        global.get $rdx
        local.set 5
        global.get $fuel
        local.set 6
        block
          loop
            local.get 6
            i32.const -1
            i32.add
            local.tee 6
            i32.const 0
            i32.lt_s
            br_if 3
            local.get 3
            local.set 2
            local.get 2
            i32.wrap_i64
            i32.const -65536
            i32.add
            local.set 7
            local.get 7
            i64.load offset=0 align=1
            local.set 8
            local.get 8
            local.set 5
            local.get 7
            local.get 4
            i64.store offset=0 align=1
            local.get 2
            local.set 4
            local.get 8
            i64.const 0
            i64.eq
            if
              br 2
            else
            end
            local.get 5
            local.set 3
            local.get 3
            local.set 8
            local.get 8
            i32.wrap_i64
            i32.const -65536
            i32.add
            local.set 7
            local.get 7
            i64.load offset=0 align=1
            local.set 2
            local.get 2
            local.set 5
            local.get 7
            local.get 4
            i64.store offset=0 align=1
            local.get 8
            local.set 4
            local.get 2
            i64.const 0
            i64.eq
            if
              br 2
            else
            end
            local.get 5
            local.set 3
            local.get 3
            local.set 2
            local.get 2
            i32.wrap_i64
            i32.const -65536
            i32.add
            local.set 7
            local.get 7
            i64.load offset=0 align=1
            local.set 8
            local.get 8
            local.set 5
            local.get 7
            local.get 4
            i64.store offset=0 align=1
            local.get 2
            local.set 4
            local.get 8
            i64.const 0
            i64.eq
            if
              br 2
            else
            end
            local.get 5
            local.set 3
            local.get 3
            local.set 8
            local.get 8
            i32.wrap_i64
            i32.const -65536
            i32.add
            local.set 7
            local.get 7
            i64.load offset=0 align=1
            local.set 2
            local.get 2
            local.set 5
            local.get 7
            local.get 4
            i64.store offset=0 align=1
            local.get 8
            local.set 4
            local.get 2
            i64.const 0
            i64.eq
            if
              br 2
            else
            end
            local.get 5
            local.set 3
            br 0
          end
        end
        local.get 3
        global.set $rax
        local.get 4
        global.set $rcx
        local.get 5
        global.set $rdx
        local.get 6
        global.set $fuel
      end
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
    local.get 3
    global.set $rax
    local.get 4
    global.set $rcx
    local.get 5
    global.set $rdx
    local.get 6
    global.set $fuel
    i32.const 4200547
    call $safepoint
    local.tee 1
    i32.const 4200547
    i32.ne
    if
      br 1
    else
    end
    i32.const 30000
    global.set $fuel
    i32.const 19
    return_call $reverse
  end
  local.get 1
)
