# The cases of a guest, one after another. What is seen from outside of a sandbox is printed as `:: CASE KEY=VALUE …`;
# what a run itself said, and its journal, is read from the disk afterwards.
export PATH=/bin
/bin/busybox --install -s /bin
. /functions.sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
# Without `nsdelegate`, which would stop some of the attempts by itself.
mount -t cgroup2 cgroup $G
[ ! -e /dev/fuse ] || chmod 0666 /dev/fuse
chown -R 0:0 /bin /etc /launch /outside /state-root /usr /work-root
chown -R 1000:1000 /home/user /state-user /work-user
chmod 0700 /state-user /state-root
chmod 1777 /tmp /results

say boot kernel="$(uname -r)" controllers="$(tr ' ' , <$G/cgroup.controllers)" "$(agent landlock | tr ' ' =)"
replicante-shim probe >/results/probe.out

# --- amounts, as root in the hierarchy's root ---------------------------------------------------------------------

name=memory; plain agent hog 200
launch memory; say memory code=$? left="$(left)"

name=processes; plain agent forks 60
launch processes; say processes code=$? left="$(left)"

name=io; plain agent disk /work-root/big 8
launch io; say io code=$? left="$(left)"

name=cpu; plain agent spin 3
launch cpu & run=$!
wait_for grep -q . "$(group $G)/cgroup.procs"
i=0
while [ $i -lt 600 ] && cat "$(group $G)/cpu.stat" >/results/cpu.now 2>/dev/null; do
  cp /results/cpu.now /results/cpu.last; usleep 100000; i=$((i+1))
done
wait $run; say cpu code=$? throttled="$(sed -n 's/^nr_throttled //p' /results/cpu.last)" left="$(left)"

launch spent; say spent code=$? left="$(left)"

launch strong; say strong code=$? left="$(left)"

# --- ends ---------------------------------------------------------------------------------------------------------

# A fork bomb is held, all of it ends with the shim that is killed, and the next run removes the group that stays.
name=bomb
launch bomb & run=$!
wait_for grep -q '^max [1-9]' "$(group $G)/pids.events"
most=0
for i in 1 2 3 4 5; do n=$(agents); [ "$n" -le $most ] || most=$n; usleep 100000; done
most_allowed=$(cat "$(group $G)/pids.max")
kill -9 "$(pidof replicante-shim | tr ' ' '\n' | sort -n | head -n1)"
wait $run; code=$?
wait_for no_agents
say bomb code=$code most="$most" max="$most_allowed" agents="$(agents)" left="$(left)"
launch after; say after code=$? left="$(left)"

# The sandbox's first process is killed: the shim is still there to clean up. Meanwhile another run comes and goes.
launch first & run=$!
name=first; wait_for [ -s /results/first.out ]
launch beside; say beside code=$? left="$(left)"
name=first
kill -9 "$(sort -n "$(group $G)/cgroup.procs" | head -n1)"
wait $run; say first code=$? agents="$(agents)" left="$(left)"

# --- an ordinary user, first without and then with a group of its own -----------------------------------------------

agent as 1000 replicante-shim probe >/results/probe-undelegated.out
launch undelegated agent as 1000; say undelegated code=$? left="$(left)"
launch unwilling agent as 1000; say unwilling code=$? left="$(left)"

echo "+memory +pids +cpu +io" >$G/cgroup.subtree_control
mkdir $G/user $G/others
chown 1000:1000 $G/user $G/user/cgroup.procs $G/user/cgroup.subtree_control
in_group $G/user agent as 1000 replicante-shim probe >/results/probe-delegated.out
launch delegated in_group $G/user agent as 1000
say delegated code=$? left="$(left)" control="$(cat $G/user/cgroup.subtree_control)"

# A group that has a part of the controllers: the rest is left to stand-ins.
mkdir $G/part
echo "+memory +pids" >$G/part/cgroup.subtree_control
mkdir $G/part/user
chown 1000:1000 $G/part/user $G/part/user/cgroup.procs $G/part/user/cgroup.subtree_control
in_group $G/part/user agent as 1000 replicante-shim probe >/results/probe-part.out
launch part in_group $G/part/user agent as 1000
say part code=$? left="$(left)" control="$(cat $G/part/user/cgroup.subtree_control)"
rmdir $G/part/user $G/part

# Somebody else is in the group: it can't hand controllers down, and that is said.
in_group $G/user sleep 600 & other=$!
wait_for grep -q . $G/user/cgroup.procs
launch crowded in_group $G/user agent as 1000; say crowded code=$? left="$(left)"
kill -9 "$(cat $G/user/cgroup.procs)"; wait $other
wait_for grep -q '^populated 0' $G/user/cgroup.events

# The policy lets the agent, who is the group's owner, write there: what it can do plainly it can't do inside.
mkdir $G/user/free
chown 1000:1000 $G/user/free $G/user/free/cgroup.procs
name=escape; plain in_group $G/user agent as 1000 agent write $G/user/free/cgroup.procs 0
launch escape in_group $G/user agent as 1000; say escape code=$? left="$(left)"
rmdir $G/user/free

# Killed with nobody to clean up; `leftovers` then takes our empty groups and nothing else.
name=killed
launch killed in_group $G/user agent as 1000 & run=$!
wait_for [ -s /results/killed.out ]
kill -9 "$(cat $G/user/replicante-shims/cgroup.procs)"
wait $run; code=$?
wait_for no_agents
say killed code=$code agents="$(agents)" left="$(left)"
mkdir $G/user/replicante-kept $G/user/replicante-kept/below
agent as 1000 replicante-shim leftovers /state-user/runs >/results/leftovers.out
say leftovers left="$(ls -d $G/user/*/ $G/others | tr '\n' ' ' | sed 's/ $//; s/ /,/g')"
rmdir $G/user/replicante-kept/below $G/user/replicante-kept $G/others

# The killed run left controllers handed down, so only a group below can be joined: a leaf with our name is known as such.
agent as 1000 mkdir $G/user/replicante-shims
launch again in_group $G/user/replicante-shims agent as 1000; say again code=$? left="$(left)"
rmdir $G/user/replicante-shims $G/user

# --- a handful of attacks: plainly, then inside; the victims are outside --------------------------------------------

for name in read truncate move signal unshare mount connect; do
  echo kept >/usr/share/victim; chown 1000:1000 /usr/share/victim; chmod 0666 /usr/share/victim
  agent listen victim >/results/listening & listener=$!
  sh -c 'trap "echo hit >>/results/hits" USR1; echo up >/results/up; while :; do usleep 100000; done' & victim=$!
  wait_for [ -s /results/up ]; wait_for [ -s /results/listening ]
  case $name in
    read) words=/outside/secret ;;
    truncate) words=/usr/share/victim ;;
    move) words="/usr/share/victim /usr/share/taken" ;;
    signal) words=$victim ;;
    connect) words=victim ;;
    *) words= ;;
  esac
  plain agent $name $words
  umount /tmp 2>/dev/null
  rm -f /usr/share/taken; echo kept >/usr/share/victim; chown 1000:1000 /usr/share/victim
  echo $victim >/work-root/victim
  launch $name; code=$?
  say $name code=$code victim="$(cat /usr/share/victim)" left="$(left)"
  kill -9 $victim $listener; wait $victim $listener 2>/dev/null
  rm -f /results/up /results/listening
done
say hits count="$(wc -l </results/hits)"

say end agents="$(agents)" left="$(left)"
sync
mount -o remount,ro /
poweroff -f
