(func $walk (type 0) (param i32) (result i32)
  (local i32) (local i32)
  (local i64)
  (local i32)
  (local i64)
  block
    block
      block
        block
          block
            block
              local.get 0
              if
                local.get 0
                i32.const 16
                i32.eq
                if
                  br 3
                else
                end
                local.get 0
                i32.const 24
                i32.eq
                if
                  br 3
                else
                end
                i32.const 6
                i32.const 4200096
                local.get 0
                i32.add
                return_call $fault
              end
            end
            global.get $fuel
            i32.const -1
            i32.add
            local.tee 2
            local.get 2
            global.set $fuel
            i32.const 0
            i32.lt_s
            br_if 2
            global.get $rsp
            local.set 3
            local.get 3
            i32.wrap_i64
            i32.const -65552
            i32.add
            local.set 4
            local.get 4
            global.get $rbp
            i64.store offset=8 align=1
            i64.const 0
            global.set $rbp
            local.get 4
            global.get $rbx
            i64.store offset=0 align=1
            local.get 3
            i64.const -24
            i64.add
            global.set $rsp
            global.get $rdi
            i64.eqz
            if
              br 2
            else
            end
            global.get $rdi
            global.set $rbx
          end
          loop
            block
              local.get 0
              if
                local.get 0
                i32.const 24
                i32.eq
                if
                  br 2
                else
                end
              end
              i32.const 0
              local.set 0
              global.get $fuel
              i32.const -1
              i32.add
              local.tee 2
              local.get 2
              global.set $fuel
              i32.const 0
              i32.lt_s
              br_if 4
              global.get $rbx
              i32.wrap_i64
              i32.const -65536
              i32.add
              i64.load offset=0 align=1
              global.set $rdi
              global.get $rsp
              local.set 3
              local.get 3
              i32.wrap_i64
              i32.const -65544
              i32.add
              i64.const 4200120
              i64.store offset=0 align=1
              local.get 3
              i64.const -8
              i64.add
              global.set $rsp
              i32.const 4200096
              global.set $last_pc
              i32.const 0
              call $walk
              local.tee 1
              i32.const 4200120
              i32.ne
              if
                br 6
              else
              end
            end
            i32.const 0
            local.set 0
            global.get $rax
            local.set 3
            global.get $rbx
            i32.wrap_i64
            i32.const -65528
            i32.add
            local.set 4
            local.get 4
            i64.load offset=0 align=1
            local.set 5
            local.get 5
            global.set $rbx
            local.get 3
            local.get 3
            i64.const 1
            i64.shl
            i64.add
            local.set 3
            local.get 3
            global.set $rdx
            local.get 4
            i64.load32_u offset=8 align=1
            local.get 3
            i64.add
            local.set 3
            local.get 3
            global.set $rax
            global.get $rbp
            local.get 3
            i64.add
            global.set $rbp
            local.get 5
            i64.const 0
            i64.ne
            if
              br 1
            else
            end
          end
        end
        global.get $rsp
        local.set 5
        global.get $rbp
        global.set $rax
        local.get 5
        i32.wrap_i64
        i32.const -65528
        i32.add
        local.set 4
        local.get 4
        i32.load8_u offset=19 align=1
        drop
        local.get 4
        i64.load offset=0 align=1
        global.set $rbx
        local.get 4
        i64.load offset=8 align=1
        global.set $rbp
        local.get 5
        i64.const 32
        i64.add
        global.set $rsp
        local.get 4
        i32.load offset=16 align=1
        return
      end
      i32.const 4200096
      call $safepoint
      local.tee 1
      i32.const 4200096
      i32.ne
      if
        br 2
      else
      end
      i32.const 30000
      global.set $fuel
      i32.const 0
      return_call $walk
    end
    i32.const 4200112
    call $safepoint
    local.tee 1
    i32.const 4200112
    i32.ne
    if
      br 1
    else
    end
    i32.const 30000
    global.set $fuel
    i32.const 16
    return_call $walk
  end
  local.get 1
)
