# Programs that make terminals: tmux and script.
cd /tmp; export TERM=xterm-256color SHELL=/bin/sh
# until_ok waits for a command to succeed.
until_ok() { n=0; until "$@" > /dev/null 2>&1; do n=$((n + 1)); [ $n -lt 600 ] || { echo "never: $*"; return 1; }; sleep .1; done; }
shows() { tmux capture-pane -p -t "$1" | grep -q -- "$2"; }

tmux -f /dev/null new-session -d -s one -n main -x 60 -y 10 "PS1='one> ' exec sh"; echo "started $?"; tmux set-option -g automatic-rename off
until_ok shows one 'one>'
tmux send-keys -t one 'echo $((6 * 7)) from tmux; stty size; tty' Enter
until_ok shows one '^/dev/pts'
tmux capture-pane -p -t one
tmux split-window -t one -v "PS1='two> ' exec bash --norc"; until_ok shows one.1 'two>'
tmux list-sessions -F '#{session_name} #{session_windows} #{session_width}x#{session_height}'
tmux list-panes -t one -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command} #{pane_active}'
tmux send-keys -t one.1 'stty size; sleep 1000' Enter; until_ok shows one.1 '^4 60'
until_ok sh -c "[ \"\$(tmux display-message -p -t one.1 '#{pane_current_command}')\" = sleep ]"
tmux send-keys -t one.1 C-z; until_ok shows one.1 Stopped
tmux send-keys -t one.1 'jobs; echo "=$?"' Enter; until_ok shows one.1 '^=0'
tmux capture-pane -p -t one.1 | tail -n 4
tmux resize-pane -t one.1 -U 2; tmux send-keys -t one.1 C-l 'until [ "$(stty size)" = "6 60" ]; do sleep .1; done; echo "=resized"' Enter; until_ok shows one.1 '^=resized'; tmux capture-pane -p -t one.1
tmux new-window -t one -n third 'tmux wait-for go; printf "\033[31mred\033[0m \342\224\200\n"; exec sleep 1000'
tmux wait-for -S go; until_ok shows one:third red; tmux capture-pane -p -e -t one:third | head -n 1
tmux list-windows -t one -F '#{window_index} #{window_name} #{window_active} #{window_panes}'
tmux set-buffer 'pasted text'; tmux show-buffer; echo; tmux set-option -g status off; tmux show-options -g status; tmux has-session -t none; echo "has $?"
tmux kill-window -t one:third; tmux list-windows -t one | wc -l
tmux kill-server; echo "killed $?"; until_ok sh -c 'tmux ls 2>&1 | grep "no server"'; tmux ls 2>&1 | sed 's/ (.*//'; echo "gone $?"

script -qec 'stty size; tty > /dev/null && echo a terminal; echo $((1 + 1)); exit 5' typescript < /dev/null; echo "status $?"
tr -d '\r' < typescript | sed -e '/^Script/d'
script -q -c 'stty -a' /dev/null < /dev/null | head -n 3
echo 'echo typed; exit 3' | script -qec 'PS1="% " sh' /dev/null | tr -d '\r' | grep -c typed
stty -a < /dev/null 2>&1; tty < /dev/null; test -t 0 < /dev/null; echo $?
