(func $release (type 0) (param i32) (result i32)
  (local i32) (local i32)
  (local i64)
  (local i32)
  (local i64)
  block
    block
      block
        block
          block
            local.get 0
            if
              local.get 0
              i32.const 17
              i32.eq
              if
                br 3
              else
              end
              local.get 0
              i32.const 26
              i32.eq
              if
                br 4
              else
              end
              i32.const 6
              i32.const 4200304
              local.get 0
              i32.add
              return_call $fault
            end
          end
          block
            global.get $fuel
            i32.const -1
            i32.add
            local.tee 2
            local.get 2
            global.set $fuel
            i32.const 0
            i32.lt_s
            br_if 3
            global.get $rdi
            i64.eqz
            if
              br 1
            else
            end
            global.get $rsp
            local.set 3
            local.get 3
            i32.wrap_i64
            i32.const -65552
            i32.add
            local.set 4
            local.get 4
            global.get $rbx
            i64.store offset=8 align=1
            global.get $rdi
            local.set 5
            local.get 5
            global.set $rbx
            local.get 5
            i32.wrap_i64
            i32.const -65536
            i32.add
            i64.load offset=0 align=1
            global.set $rdi
            local.get 4
            i64.const 4200321
            i64.store offset=0 align=1
            local.get 3
            i64.const -16
            i64.add
            global.set $rsp
            i32.const 4200304
            global.set $last_pc
            i32.const 0
            call $release
            local.tee 1
            i32.const 4200321
            i32.ne
            if
              br 5
            else
            end
            br 1
          end
          global.get $rsp
          local.set 3
          local.get 3
          i64.const 8
          i64.add
          global.set $rsp
          local.get 3
          i32.wrap_i64
          i32.const -65536
          i32.add
          i32.load offset=0 align=1
          return
        end
        global.get $rbx
        i32.wrap_i64
        i32.const -65536
        i32.add
        i64.load offset=8 align=1
        global.set $rdi
        global.get $rsp
        local.set 3
        local.get 3
        i32.wrap_i64
        i32.const -65544
        i32.add
        i64.const 4200330
        i64.store offset=0 align=1
        local.get 3
        i64.const -8
        i64.add
        global.set $rsp
        i32.const 4200304
        global.set $last_pc
        i32.const 0
        call $release
        local.tee 1
        i32.const 4200330
        i32.ne
        if
          br 3
        else
        end
      end
      global.get $rbx
      global.set $rdi
      global.get $rsp
      local.set 3
      local.get 3
      i64.const 8
      i64.add
      global.set $rsp
      local.get 3
      i32.wrap_i64
      i32.const -65536
      i32.add
      i64.load offset=0 align=1
      global.set $rbx
      i32.const 4312912
      global.set $last_pc
      i32.const 4312912
      return_call $enter
    end
    i32.const 4200304
    call $safepoint
    local.tee 1
    i32.const 4200304
    i32.ne
    if
      br 1
    else
    end
    i32.const 30000
    global.set $fuel
    i32.const 0
    return_call $release
  end
  local.get 1
)
