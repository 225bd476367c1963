(func $fib (type 0) (param i32) (result i32)
  (local i32) (local i32)
  (local i64)
  (local i32) (local i32)
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
                i32.const 27
                i32.eq
                if
                  br 3
                else
                end
                i32.const 6
                i32.const 4200048
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
            i32.const -65560
            i32.add
            local.set 4
            local.get 4
            global.get $r12
            i64.store offset=16 align=1
            i64.const 0
            global.set $r12
            local.get 4
            global.get $rbp
            i64.store offset=8 align=1
            global.get $rdi
            i32.wrap_i64
            local.set 5
            local.get 5
            i64.extend_i32_u
            global.set $rbp
            local.get 4
            global.get $rbx
            i64.store offset=0 align=1
            local.get 3
            i64.const -24
            i64.add
            global.set $rsp
            local.get 5
            i32.const 1
            i32.le_u
            if
              br 2
            else
            end
            global.get $rdi
            i32.wrap_i64
            i64.extend_i32_u
            global.set $rbx
          end
          loop
            block
              local.get 0
              if
                local.get 0
                i32.const 27
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
              local.set 5
              local.get 5
              i32.const -1
              i32.add
              i64.extend_i32_u
              global.set $rdi
              local.get 5
              i32.const -2
              i32.add
              i64.extend_i32_u
              global.set $rbx
              global.get $rsp
              local.set 3
              local.get 3
              i32.wrap_i64
              i32.const -65544
              i32.add
              i64.const 4200075
              i64.store offset=0 align=1
              local.get 3
              i64.const -8
              i64.add
              global.set $rsp
              i32.const 4200048
              global.set $last_pc
              i32.const 0
              call $fib
              local.tee 1
              i32.const 4200075
              i32.ne
              if
                br 6
              else
              end
            end
            i32.const 0
            local.set 0
            global.get $r12
            global.get $rax
            i64.add
            global.set $r12
            global.get $rbx
            i32.wrap_i64
            i32.const 1
            i32.gt_u
            if
              br 1
            else
            end
          end
          global.get $rbp
          i32.wrap_i64
          i32.const 1
          i32.and
          i64.extend_i32_u
          global.set $rbp
        end
        global.get $rbp
        local.set 3
        global.get $rsp
        local.set 6
        local.get 6
        i32.wrap_i64
        i32.const -65536
        i32.add
        local.set 5
        local.get 5
        i32.load8_u offset=27 align=1
        drop
        local.get 5
        i64.load offset=0 align=1
        global.set $rbx
        local.get 5
        i64.load offset=8 align=1
        global.set $rbp
        local.get 3
        i32.wrap_i64
        i64.extend_i32_u
        global.get $r12
        i64.add
        global.set $rax
        local.get 5
        i64.load offset=16 align=1
        global.set $r12
        local.get 6
        i64.const 32
        i64.add
        global.set $rsp
        local.get 5
        i32.load offset=24 align=1
        return
      end
      i32.const 4200048
      call $safepoint
      local.tee 1
      i32.const 4200048
      i32.ne
      if
        br 2
      else
      end
      i32.const 30000
      global.set $fuel
      i32.const 0
      return_call $fib
    end
    i32.const 4200064
    call $safepoint
    local.tee 1
    i32.const 4200064
    i32.ne
    if
      br 1
    else
    end
    i32.const 30000
    global.set $fuel
    i32.const 16
    return_call $fib
  end
  local.get 1
)
