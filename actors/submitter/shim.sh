#!/bin/sh
# The shim: runs one attempt of a job, says what became of it, and ends it.
#
#   shim.sh start CONTROL WORK STDOUT STDERR WALLTIME MEMORY GRACE BLOCKS FILES RUN -- ARGV...
#   shim.sh status RUN CONTROL [RUN CONTROL]...
#   shim.sh cancel RUN CONTROL GRACE CAUSE
#
# WALLTIME and GRACE are hundredths of a second, MEMORY is KiB, BLOCKS are of 512 bytes; 0 means no
# limit. `start` reads the job's environment as lines `export NAME='value'`. Each verb prints one
# line for each attempt:
#
#   RUN absent                            its latch is free: it never started
#   RUN running PID TICKS                 the shim is there, with its start in ticks after boot
#   RUN ended CODE SIGNAL CAUSE DETAIL    `-` stands for none
#   RUN gone                              it started, and left no exit code
#   RUN burned TAKER                      its latch was taken so that it can never start
#   RUN refused WHY                       nothing was done
#
# In the control folder:
#   latch         a symbolic link: made by one taker only, and names it in the same step
#   cause         a symbolic link: why somebody here ends the attempt, made before the first signal
#   record.PID    space for the exit code, taken before the start so that a full disk cannot lose it
#   exit          that file, renamed when everything of the attempt has ended
#
# The exit code is not forced to disk: the job's own outputs are not either, and an exit code that
# outlived them in a power failure would promise too much. Such an attempt is found as `gone`.
#
# The job can change all of this. What is read here is read only when it is a small plain file, and
# believed only when it has the right form; and no signal goes to a process because of a number in
# the control folder alone.
#
# The shell reads all of this before it runs the last line, so the file may be replaced meanwhile.
# Names of variables that are used after the job's environment was read begin with JOBWIRE_, which
# no variable of a user does.

set -f

main() {
    case $1 in
        start) shift; begin "$@" ;;
        status) shift; status "$@" ;;
        cancel) shift; cancel "$@" ;;
        *) echo "shim.sh: start, status or cancel; not '$1'" >&2; exit 64 ;;
    esac
}

# ---- processes

# Reads one process: number, state, parent, session, ticks. Fails when it is not there.
look() {
    stat=
    {
        while IFS= read -r line; do stat="$stat$line "; done <"/proc/$1/stat"
    } 2>/dev/null
    [ -n "$stat" ] || return 1
    number=${stat%% *}
    # shellcheck disable=SC2086 - words are what is wanted; a name may hold blanks and brackets
    set -- ${stat##*) }
    state=$1 parent=$2 session=$4 ticks=${20}
}

# Sets `now` to hundredths of a second after boot.
tell_time() {
    read -r now line </proc/uptime
    now=$((${now%.*} * 100 + 1${now#*.} - 100))
}

# Says whether the shim that a latch names is alive: the same number, start and boot.
is_alive() {
    read -r boot </proc/sys/kernel/random/boot_id
    [ "$boot" = "$shim_boot" ] && look "$shim" && [ "$ticks" = "$shim_ticks" ] &&
        [ "$state" != Z ] && [ "$state" != X ]
}

# Says whether the shim that a latch names is alive and is that of this control folder, or is just
# putting the exit code there. The shells drop the zeros between the words; the folder that follows
# begins with a slash. While a process becomes another program, what is read of it is a mixture.
# The end of the folder's path, which names the attempt, is enough: the beginning may be another
# one now, where the sandboxes are reached by another way.
is_of_here() {
    tries=0 tail=${control#"${control%/*/*/*}"}
    while is_alive && [ "$tries" -lt 8 ]; do
        line=
        { IFS= read -r line <"/proc/$shim/cmdline"; } 2>/dev/null
        case $line in
            *start/*"$tail/"* | *"$tail/record.$shim/"*"$tail/exit") return 0 ;;
        esac
        tries=$((tries + 1))
        [ "$tries" -lt 4 ] || pause 0.01
    done
    return 1
}

# Finds the processes of the attempt: those of its session, and those that carry its name in their
# environment, wherever they went. The shim and what it runs for itself are none.
#
# Sets `members`, and `pages`, the memory that they have. A session counts when `is_ours` is set, or
# when one in it carries the name: without the shim in it, its number may belong to strangers by
# now.
find_members() {
    set +f
    marked=$(exec grep -lsFxz "JOBWIRE_RUN=$run" /proc/[0-9]*/environ)
    found=$(LC_ALL=C grep -sH '' /proc/[0-9]*/stat | pick_members)
    set -f
    pages=${found%%:*} members=${found#*:}
}

pick_members() {
    LC_ALL=C awk -v session="${own_session:-none}" -v ours="$is_ours" -v shim="${shim:-none}" \
        -v main="${main:-none}" -v self="${self:-none}" -v marked="$marked" '
        {
            at = index($0, "/stat:")
            pid = substr($0, 7, at - 7)
            text[pid] = text[pid] substr($0, at + 6)
        }
        function is_its_own(pid, each) {
            for (each = pid; each in parent; each = parent[each]) {
                if (each == shim || each == self) return 1
                if (each == main) return 0
                if (parent[each] == shim) return 1
            }
            return 0
        }
        END {
            count = split(marked, names, "\n")
            for (i = 1; i <= count; i++) {
                split(names[i], parts, "/")
                carries[parts[3]] = 1
            }
            for (pid in text) {
                sub(/^.*\) /, "", text[pid])
                split(text[pid], field, " ")
                state[pid] = field[1]
                parent[pid] = field[2]
                in_session[pid] = (field[4] == session)
                rss[pid] = field[22]
                if (in_session[pid] && (pid in carries)) ours = 1
            }
            for (pid in text) {
                if (state[pid] ~ /[ZXx]/ || is_its_own(pid)) continue
                if (!(pid in carries) && !(ours && in_session[pid])) continue
                pages += rss[pid]
                list = list " " pid
            }
            printf "%d:%s\n", pages, list
        }'
}

# Ends the members: TERM to each once, KILL from the limit on, until none is left.
# $1: the limit in hundredths after boot; $2: the signal until then, `0` for none.
# Returns 1 when some cannot be killed.
end_members() {
    told=' ' signal=$2
    while find_members; [ -n "$members" ]; do
        seen=1
        tell_time
        [ "$now" -lt "$(($1 + 3000))" ] || return 1
        [ "$now" -lt "$1" ] || signal=KILL told=' '
        for each in $members; do
            case $told in *" $each "*) continue ;; esac
            kill "-$signal" "$each" && kill -CONT "$each"
            told="$told$each "
        done
        pause 0.03
    done 2>/dev/null
}

pause() {
    sleep "$1" 2>/dev/null || sleep 1
}

# ---- start

begin() {
    # Files that jobs make can be read by others; the folder of all sandboxes cannot be entered.
    umask 022
    cd /
    # In the foreground, since shells let what they put in the background ignore INT and QUIT, and
    # a job must not inherit that. When it stands on its own feet it ends this process.
    ( supervise "$@" )
}

supervise() {
    control=$1 work=$2 out=$3 err=$4 walltime=$5 memory=$6 grace=$7 blocks=$8 files=$9
    run=${10}
    shift 11
    # What a job sends to its own process group must not end the shim; its children start with
    # these signals as they were.
    trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE
    look self
    shim=$number shim_ticks=$ticks own_session=$session is_ours=1 launcher=$parent
    read -r shim_boot </proc/sys/kernel/random/boot_id
    JOBWIRE_RECORD=$control/record.$shim
    claim "$run" || return
    echo "$run running $shim $shim_ticks"
    # A socket cannot be opened by its name, so what comes by one is read here.
    JOBWIRE_TEXT=
    [ -f /dev/stdin ] || JOBWIRE_TEXT=$(cat)
    exec >/dev/null 2<>"$JOBWIRE_RECORD"
    [ "$launcher" = "$$" ] && kill -TERM "$$"
    watcher=
    if [ "$walltime" != 0 ] || [ "$memory" != 0 ]; then
        ( watch ) </dev/null 2>/dev/null &
        watcher=$!
    fi
    ( run_job "$@" )
    finish $?
}

# Takes the latch, with room for the exit code; says what is there when that cannot be done.
claim() {
    if ! printf '%511s\n' ' ' 2>/dev/null >"$JOBWIRE_RECORD"; then
        echo "$1 refused no_space"
        rm -f "$JOBWIRE_RECORD"
        return 1
    fi 2>/dev/null
    # Into a directory of that name a link can be made, too.
    ln -s "run:$shim.$shim_ticks.$shim_boot.$own_session" "$control/latch" 2>/dev/null &&
        [ -L "$control/latch" ] && return
    rm -f "$JOBWIRE_RECORD"
    if [ -L "$control/latch" ] || [ -e "$control/latch" ]; then
        status "$1" "$control"
    else
        echo "$1 refused no_space"
    fi
    return 1
}

# Becomes the job. Whatever fails before that is told from the job's own exit code.
run_job() {
    exec 2>/dev/null
    JOBWIRE_STEP=directory
    trap could_not_run EXIT
    look self
    cd "$work" || exit 1
    JOBWIRE_STEP=output
    exec >"$out"
    if [ "$out" = "$err" ]; then exec 3>&1; else exec 3>"$err"; fi
    JOBWIRE_STEP=limits
    ulimit -c 0
    [ "$blocks" = 0 ] || ulimit -f "$blocks"
    ulimit -n "$files"
    [ "$memory" = 0 ] || ulimit -d "$((memory * 2 + 1048576))"
    printf 'job %s %s ' "$number" "$ticks" 1<>"$JOBWIRE_RECORD"
    JOBWIRE_STEP=environment JOBWIRE_BASH=$BASH_VERSION
    unset PWD OLDPWD SHLVL
    if [ -f /dev/stdin ]; then . /dev/stdin; else eval "$JOBWIRE_TEXT"; fi
    JOBWIRE_STEP=program
    exec 2>&3 3>&- </dev/null
    [ -z "$JOBWIRE_BASH" ] || foresee "$1"
    exec "$@"
}

# Fails where `exec` would: bash forgets its traps before it finds out.
foresee() {
    JOBWIRE_FILE=$1
    case $1 in */*) ;; *) JOBWIRE_FILE=$(type -P -- "$1") ;; esac
    [ -e "$JOBWIRE_FILE" ] || exit 127
    [ -f "$JOBWIRE_FILE" ] && [ -x "$JOBWIRE_FILE" ] || exit 126
    IFS= read -r -n 256 JOBWIRE_LINE <"$JOBWIRE_FILE"
    case $JOBWIRE_LINE in '#!'*) ;; *) return ;; esac
    IFS=' ' read -r JOBWIRE_LINE JOBWIRE_FILE <<-LINE
	${JOBWIRE_LINE#??}
	LINE
    [ -x "$JOBWIRE_LINE" ] || exit 127
}

could_not_run() {
    set -- "$?"
    printf 'fail %s %s\n' "$JOBWIRE_STEP" "$1" 1<>"$JOBWIRE_RECORD"
    exit "$1"
}

# Writes down how the job ended, when nothing of it is left. $1: its exit code as the shell has it.
#
# Shells say on stderr, which is the record, when a signal ends what they run, and of INT and PIPE
# they are silent; so a job that exits with 130 or 141 counts as ended by these.
finish() {
    code=$1 main= line=
    exec 2>/dev/null
    is_plain "$JOBWIRE_RECORD" || rm -f "$JOBWIRE_RECORD"
    IFS= read -r line <"$JOBWIRE_RECORD"
    by=- cause=- detail=-
    # shellcheck disable=SC2086
    case $line in
        "job "*)
            set -- $line
            main=$2 main_ticks=$3
            case $code in 130) by=INT ;; 141) by=PIPE ;; esac
            ;;
        "fail "*)
            set -- $line
            cause=could_not_start detail=$2
            ;;
        " "*) cause=could_not_start detail=unknown ;;
        '') ;;
        *) by=$(kill -l "$((code - 128))") || by=$((code - 128)) ;;
    esac
    end_watcher
    [ ! -L "$control/cause" ] || read_cause
    sweep
    printf 'ended %s %s %s %s\n' "$code" "$by" "$cause" "$detail" 1<>"$JOBWIRE_RECORD"
    exec mv -f "$JOBWIRE_RECORD" "$control/exit"
}

# Lets the reason that somebody here had count for more than what the record says.
read_cause() {
    line=$(readlink "$control/cause")
    case $line in
        walltime | memory | cancelled | interrupted) cause=$line detail=- ;;
        could_not_start) cause=$line ;;
    esac
}

# Ends the watch and its sleep, unless the watch is just ending the attempt. It is stopped first,
# so that it cannot start another one; where the kernel does not list children, the sleep lasts a
# few seconds more.
end_watcher() {
    [ -n "$watcher" ] || return
    if ! is_watch_at_work; then
        kill -STOP "$watcher"
        while look "$watcher"; do
            case $state in T | Z | X) break ;; esac
        done
        line=
        read -r line <"/proc/$watcher/task/$watcher/children"
        # shellcheck disable=SC2086
        kill -KILL "$watcher" $line
    fi
    # A signal to the group may interrupt the waiting.
    while kill -0 "$watcher"; do wait "$watcher"; done
}

# Says whether the watch is just ending the attempt: of what others wrote down it knows nothing.
is_watch_at_work() {
    [ -L "$control/cause" ] || return
    case $(readlink "$control/cause") in walltime | memory) ;; *) return 1 ;; esac
}

# Ends what the job left behind; while somebody else is ending the attempt, only what that leaves.
sweep() {
    is_left_alone && return
    main=
    tell_time
    if [ "$cause" = - ]; then
        end_members "$now" KILL
    else
        end_members "$((now + grace + 100))" 0
    fi
}

# Says at little cost, of a short job, that nothing of it is left: what it has started came after
# it and has a higher number.
is_left_alone() {
    [ -n "$main" ] || return 1
    tell_time
    [ "$((now - main_ticks))" -ge 0 ] && [ "$((now - main_ticks))" -lt 200 ] || return 1
    read -r line </proc/loadavg
    newest=${line##* } each=$main
    [ "$newest" -ge "$main" ] && [ "$((newest - main))" -lt 300 ] || return 1
    set --
    while [ "$each" -lt "$newest" ]; do
        each=$((each + 1))
        [ -d "/proc/$each" ] || continue
        look "$each" && [ "$state" != Z ] || continue
        [ "$session" != "$own_session" ] || return 1
        [ $# -lt 50 ] || return 1
        set -- "$@" "/proc/$each/environ"
    done
    [ $# = 0 ] || ! grep -qsFxz "JOBWIRE_RUN=$run" "$@"
}

# ---- limits

# Ends the attempt when it runs too long or has too much memory.
watch() {
    trap : HUP INT QUIT TERM USR1 USR2 ALRM PIPE
    look self
    self=$number main=
    [ "$memory" = 0 ] || page=$(getconf PAGESIZE) || page=4096
    tell_time
    deadline=$((now + walltime))
    while :; do
        tell_time
        if [ "$walltime" != 0 ] && [ "$now" -ge "$deadline" ]; then
            stop_for walltime "$((now + grace))" TERM
        elif [ "$memory" != 0 ] && has_too_much; then
            stop_for memory "$now" KILL
        fi
        # Nobody would write down how a job ended whose shim was killed.
        is_alive || { end_members "$((now + grace))" TERM; exit; }
        nap
    done
}

stop_for() {
    ln -s "$1" "$control/cause"
    read_main
    end_members "$2" "$3"
    exit
}

has_too_much() {
    read_main
    find_members
    [ "$((pages * (page / 1024)))" -gt "$memory" ]
}

# Sleeps until there is something to look at. The sleep carries the attempt's name, so that it is
# found when the shim was killed.
nap() {
    if [ "$memory" != 0 ]; then
        left=20
    else
        left=$((deadline - now))
        [ "$left" -lt 500 ] || left=500
    fi
    [ "$left" -gt 0 ] || left=1
    part=$((left % 100))
    [ "$part" -ge 10 ] || part=0$part
    JOBWIRE_RUN=$run sleep "$((left / 100)).$part"
}

# Sets `main` to the job's own process: the one child of the shim that is not its own.
read_main() {
    line= main=
    is_plain "$control/record.$shim" || return
    line=$(exec 2>/dev/null; exec head -c 300 "$control/record.$shim" | tr -d '\000')
    # shellcheck disable=SC2086
    case $line in "job "*) set -- $line; main=$2 ;; esac
}

is_plain() {
    [ -f "$1" ] && [ ! -L "$1" ]
}

# ---- status and cancel

# Reads what the control folder says: sets `there` to one of the lines above, without the name.
find_out() {
    survey
    case $latch in
        '') if is_spoiled; then there=gone; else there=absent; fi; return ;;
        run:*) ;;
        *[!A-Za-z0-9:._-]*) there=gone; return ;;
        *)
            if [ ${#latch} -le 200 ]; then there="burned $latch"; else there=gone; fi
            return
            ;;
    esac
    read_exit && return
    if read_latch && is_of_here; then
        # Where it is counts, not what the latch says.
        own_session=$session
        there="running $shim $shim_ticks"
    else
        # It may have ended between the two looks.
        read_exit || there=gone
    fi
}

# Sets `latch` to what the link says, and `size` to the bytes of a plain exit file. One listing
# costs less than two programs; of the two names, `exit` comes first.
survey() {
    latch= size=
    line=$(exec 2>/dev/null; cd "$control" && exec ls -ldn exit latch)
    case $line in *" latch -> "?*) latch=${line##*" latch -> "} ;; esac
    # shellcheck disable=SC2086
    case $line in -*) set -- $line; size=$5 ;; esac
}

# Says whether an attempt without a latch cannot be a new one.
is_spoiled() {
    [ -e "$control/latch" ] && return
    [ -e "$control" ] || [ -L "$control" ] || return
    ! { [ -d "$control" ] && [ -x "$control" ]; }
}

read_latch() {
    line=${latch#run:} shim_boot=
    shim=${line%%.*} line=${line#*.}
    shim_ticks=${line%%.*} line=${line#*.}
    shim_boot=${line%%.*} own_session=${line#*.}
    for each in "$shim" "$shim_ticks" "$own_session"; do
        case $each in
            '' | *[!0-9]*) shim= own_session=; return 1 ;;
        esac
    done
}

# Reads how the attempt ended, when the exit file says that in the right form.
read_exit() {
    is_plain "$control/exit" || return
    [ -n "$size" ] || survey
    [ "${size:-9999}" -le 512 ] || return
    line=
    { IFS= read -r line <"$control/exit"; } 2>/dev/null
    # shellcheck disable=SC2086
    set -- $line
    [ $# = 5 ] && [ "$1" = ended ] && [ ${#line} -le 300 ] || return
    case $2 in '' | *[!0-9]* | ????*) return 1 ;; esac
    [ "$2" -le 255 ] || return
    case $3 in *[!A-Z0-9+-]*) return 1 ;; esac
    case $4 in
        - | walltime | memory | cancelled | interrupted | could_not_start) ;;
        *) return 1 ;;
    esac
    case $5 in
        - | directory | output | limits | environment | program | unknown) there="$*" ;;
        *) return 1 ;;
    esac
}

status() {
    while [ $# -ge 2 ]; do
        control=$2
        find_out
        echo "$1 $there"
        shift 2
    done
}

cancel() {
    run=$1 control=$2 grace=$3 cause=$4 shim= own_session= is_ours= seen=
    look self
    read -r boot </proc/sys/kernel/random/boot_id
    ln -s "$cause:$number.$ticks.$boot" "$control/latch" 2>/dev/null
    find_out
    tell_time
    limit=$((now + grace))
    case $there in
        running*) end_running ;;
        ended*) ;;
        *) shim=; end_members "$limit" TERM ;;
    esac
    find_out
    # What ran has started, whatever its folder says.
    case $seen$there in 1absent | 1burned*) there=gone ;; esac
    echo "$run $there"
}

# Ends a running attempt, and waits for the shim to write down how that ended.
end_running() {
    ln -s "$cause" "$control/cause" 2>/dev/null
    kill -CONT "$shim" 2>/dev/null
    patience=$((limit + 3000))
    while is_alive && ! read_exit; do
        is_ours=1
        read_main
        end_members "$limit" TERM
        tell_time
        # One that reads for ever what the job has put in its way will not do it.
        [ "$now" -lt "$patience" ] || { kill -KILL "$shim"; break; }
        pause 0.02
    done
    if ! read_exit; then
        shim= is_ours=
        end_members "$limit" TERM
    fi
}

main "$@"
exit
