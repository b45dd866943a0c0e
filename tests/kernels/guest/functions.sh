# What the cases of a guest share.
G=/sys/fs/cgroup

# say CASE KEY=VALUE …: one line on the console, where the test reads it.
say() { echo ":: $*"; }

# launch CASE [PREFIX …]: one run to its end; its code is this function's.
launch() {
  name=$1; shift
  "$@" replicante-shim run --launch-fd 3 3<"/launch/$name.launch" >"/results/$name.out" 2>"/results/$name.err"
}

# plain COMMAND …: the same attempt without a sandbox.
plain() { "$@" >"/results/$name.plain" 2>&1; }

# The group of the case's run below a group.
group() { echo "$1/replicante-$(cat "/launch/$name.run")"; }

# The groups of ours that are there.
left() { find $G -type d -name 'replicante-*' | wc -l; }

# The processes of our agent, wherever they are.
agents() { grep -lx agent /proc/[0-9]*/comm 2>/dev/null | wc -l; }
no_agents() { [ "$(agents)" = 0 ]; }

# wait_for COMMAND …: until it succeeds, at most a minute.
wait_for() {
  i=0
  while ! "$@" 2>/dev/null; do
    i=$((i+1)); [ $i -lt 600 ] || { say "$name" "timeout=$*"; return 1; }
    usleep 100000
  done
}

# in_group DIRECTORY COMMAND …: alone in a group, as `systemd-run --scope` starts a program.
in_group() { sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$@"; }
