#!/bin/sh
# Sends files to support through an upload link. Run it again after an interruption, even after it was killed: it resumes.
# Needs a POSIX shell and curl, nothing else.
#
#   sh send.sh [-t TICKET] FILE...
#
# Receipts go to standard output, everything else to standard error. Ends with 0 only when every file has arrived.
# WEIGHBRIDGE_LINK_TOKEN   the link's token, where the address of this script does not hold it (/u/-/send.sh)
# WEIGHBRIDGE_PATIENCE     seconds to wait without any progress before giving up; 86400, or 300 while nothing answers
LC_ALL=C
export LC_ALL
unset CDPATH
umask 077

link='@LINK@'
ticket=
work=
running=
reached=
pause_max=60
line_break='
'

say() { printf 'send.sh: %s\n' "$*" | tr -d '\000-\011\013-\037\177' >&2; }

clean() {
  if [ -n "$running" ]; then kill "$running" 2>/dev/null; fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}

stopped() {
  say "stopped. Run the same command again to resume."
  exit "$1"
}

# ---- requests ---------------------------------------------------------------------------------------------------------

# The address and the token stand in a file: command lines can be seen by every user of this machine.
aim() {
  : >"$work/head"
  : >"$work/body"
  : >"$work/status"
  : >"$work/error"
  {
    printf 'url = "%s"\n' "$1"
    if [ -n "$token" ]; then printf 'header = "Authorization: Bearer %s"\n' "$token"; fi
  } >"$work/config"
}

# In a process of its own, which becomes curl and can be ended.
curl_here() {
  exec curl -K "$work/config" -g -S --connect-timeout 30 -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" \
    >"$work/status"
}

# Waits for curl; leaves $status and $verdict: ok, again (worth another try), gone (no such upload), refused.
judge() {
  wait "$running"
  exit_status=$?
  running=
  status=$(cat "$work/status")
  case $status in
    000 | '' | 1??) verdict=again ;;
    2??) verdict=ok ;;
    408 | 425 | 429 | 5??) verdict=again ;;
    *)
      case "$status $(problem type)" in
        *interrupted | *mismatching-upload-offset) verdict=again ;;
        *upload-gone | '404 about:blank') verdict=gone ;;
        *) verdict=refused ;;
      esac
      ;;
  esac
  case $status in [2345]??) reached=yes ;; esac
  if [ "$exit_status" -ne 0 ]; then
    if [ "$verdict" = ok ]; then verdict=again; fi
    # No such protocol, an address or certificate that will not do: the same again would end the same.
    case $exit_status in 1 | 2 | 3 | 4 | 43 | 48 | 51 | 58 | 59 | 60 | 77 | 126 | 127) verdict=refused ;; esac
  fi
}

# request PATH [CURL ARGUMENT...]: one without a file.
request() {
  aim "$link$1"
  shift
  curl_here -s --max-time 120 "$@" </dev/null 2>"$work/error" &
  running=$!
  judge
}

# The last value of a header of the last answer.
header() {
  tr -d '\r' <"$work/head" | awk -v wanted="$1:" '/^HTTP\// { found = "" } tolower($1) == wanted { found = $2 } END { print found }'
}

# A member of the problem: its JSON has one to a line.
problem() {
  sed -n 's/^ *"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' "$work/body" | sed -e 's/\\"/"/g' -e 's/\\\\/\\/g' | sed -n 1p
}

# What went wrong, for a person.
why() {
  detail=$(problem detail)
  case $(problem type) in
    */ticket-required) detail='This link is not bound to a ticket. Name it: sh send.sh -t NUMBER FILE...' ;;
  esac
  if [ -n "$detail" ]; then
    printf '%s' "$detail"
  elif [ -s "$work/error" ]; then
    sed -n '$p' "$work/error"
  elif [ -n "$status" ] && [ "$status" -ge 200 ]; then
    printf 'the server answered with status %s' "$status"
  else
    printf 'the connection broke (curl: %s)' "$exit_status"
  fi
}

# Waits longer and longer, or as long as the server asks. Fails when there was no progress for too long.
rest() {
  patience=${WEIGHBRIDGE_PATIENCE:-}
  if [ -z "$patience" ]; then
    if [ -n "$reached" ]; then patience=86400; else patience=300; fi
  fi
  if [ "$waited" -ge "$patience" ]; then
    say "$shown: given up: $(why). Run the same command again to resume."
    return 1
  fi
  seconds=$pause
  asked=$(header retry-after)
  case $asked in '' | *[!0-9]* | ?????*) ;; *) if [ "$asked" -gt "$seconds" ]; then seconds=$asked; fi ;; esac
  say "$shown: $(why); trying again in $seconds s"
  sleep "$seconds" &
  running=$!
  wait "$running"
  running=
  waited=$((waited + seconds))
  pause=$((pause * 2))
  if [ "$pause" -gt "$pause_max" ]; then pause=$pause_max; fi
}

# ---- files ------------------------------------------------------------------------------------------------------------

# Size first, then what changes with the content: time, number on its disk.
stamp() {
  {
    TZ=UTC0 stat -L -c '%s %y %i' "$1" 2>/dev/null || stat -L -f '%z %m %i' "$1" 2>/dev/null ||
      ls -Lln "$1" | awk 'NR == 1 { print $5, $6, $7, $8 }'
  } | sed -n 1p
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum <"$1"
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 <"$1"
  elif command -v openssl >/dev/null 2>&1; then
    openssl dgst -sha256 -r <"$1"
  fi | cut -c 1-64
}

# An unfinished upload is remembered beside its file, or at home where that cannot be.
places() {
  printf '%s\n' "$folder/.$name.weighbridge"
  if [ -n "${HOME:-}" ]; then
    printf '%s\n' "$HOME/.weighbridge-$(printf '%s' "$(cd "$folder" && pwd)/$name" | cksum | tr -d ' ')"
  fi
}

# A new file takes the old one's place: what somebody else may have laid there is neither followed nor written to.
remember() {
  places >"$work/places"
  while IFS= read -r place; do
    if (set -C && printf '%s %s %s\n' "$id" "${ticket:--}" "$stamp" >"$place.$$") 2>/dev/null; then
      if mv -f "$place.$$" "$place" 2>/dev/null; then return 0; fi
      rm -f "$place.$$"
    fi
  done <"$work/places"
  say "$shown: neither its folder nor your home can be written: if this script stops, it will start over"
}

forget() {
  places >"$work/places"
  while IFS= read -r place; do rm -f "$place" 2>/dev/null; done <"$work/places"
  id=
}

# Leaves $id, if an upload of this file for the same ticket was started before, and the file has not changed since.
recall() {
  places >"$work/places"
  id='' old_ticket='' old_stamp=''
  while IFS= read -r place; do
    if [ -f "$place" ] && [ ! -h "$place" ] && [ -r "$place" ]; then
      read -r id old_ticket old_stamp <"$place"
      break
    fi
  done <"$work/places"
  case $id in '') return 0 ;; *[!0-9A-Za-z]*) id= && return 0 ;; esac
  if [ "$old_ticket" != "${ticket:--}" ]; then
    forget
  elif [ "$old_stamp" != "$stamp" ]; then
    say "$shown: has changed since the upload started; starting over"
    # What has arrived stays; what is unfinished makes room.
    request "uploads/$id" -I
    if [ "$verdict" = ok ] && [ "$(header upload-complete)" = '?0' ]; then request "uploads/$id" -X DELETE; fi
    forget
  fi
}

# ---- sending ----------------------------------------------------------------------------------------------------------

# Begins an upload without a byte, so that its address is known before any is sent.
create() {
  encoded=$(printf '%s' "$name" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g')
  while :; do
    request "uploads${ticket:+?ticket=$ticket}" -X POST --data-binary '' -H 'Content-Type: application/partial-upload' \
      -H 'Upload-Complete: ?0' -H "Upload-Length: $size" \
      -H "Content-Disposition: attachment; filename*=UTF-8''$encoded"
    case $verdict in
      ok)
        id=$(header location)
        id=${id##*/}
        case $id in
          '' | *[!0-9A-Za-z]*)
            say "$shown: not sent: the answer is not one of an upload gateway. Check the link."
            id=
            return 1
            ;;
        esac
        offset=0
        remember
        return 0
        ;;
      again) rest || return 1 ;;
      *) refuse && return 1 ;;
    esac
  done
}

refuse() { say "$shown: not sent: $(why)"; }

# Asks how far the upload has come: leaves $offset.
ask() {
  request "uploads/$id" -I
  # A refusal of HEAD has no words.
  case $verdict in gone | refused) request "uploads/$id" ;; esac
  if [ "$verdict" = ok ]; then
    offset=$(header upload-offset)
    case $offset in '' | *[!0-9]*) verdict=again && offset= ;; esac
  fi
}

# Sends what is missing. A range, not "all the rest": what ends too early by any accident is then kept, not refused.
bytes() {
  if [ "$offset" -lt "$size" ]; then
    what="Content-Range: bytes $offset-$((size - 1))/$size"
  else
    what="Upload-Offset: $offset"
  fi
  say "$shown: $offset of $size bytes are there"
  aim "${link}uploads/$id"
  # A meter for a person, whom curl then tells itself what went wrong.
  if [ -t 2 ]; then
    tail -c "+$((offset + 1))" "$file" 2>/dev/null |
      curl_here --speed-limit 1 --speed-time 120 -X PUT -H "$what" -T - &
  else
    tail -c "+$((offset + 1))" "$file" 2>/dev/null |
      curl_here -s --speed-limit 1 --speed-time 120 -X PUT -H "$what" -T - 2>"$work/error" &
  fi
  running=$!
  judge
}

changes() {
  if [ "$(stamp "$file")" = "$stamp" ]; then return 1; fi
  say "$shown: not sent: it changes while it is being sent. Copy it, and send the copy."
  request "uploads/$id" -I
  if [ "$verdict" = ok ] && [ "$(header upload-complete)" = '?0' ]; then request "uploads/$id" -X DELETE; fi
  forget
}

# The receipt is in $work/body.
arrived() {
  theirs=$(sed -n '2s/^SHA-256 //p' "$work/body")
  ours=$(sha256 "$file")
  if [ "${#theirs}" -ne 64 ]; then
    say "$shown: the answer is no receipt. Run the same command again to get it."
    return 1
  fi
  forget
  if [ -z "$ours" ]; then
    say "$shown: has arrived. There is no sha256sum, shasum or openssl here to compare it with"
  elif [ "$ours" != "$theirs" ]; then
    cat "$work/body"
    say "$shown: what arrived has SHA-256 $theirs, the file has $ours: it changed while it was sent. Send it again."
    return 1
  else
    say "$shown: has arrived, and its SHA-256 is that of the file"
  fi
  cat "$work/body"
}

# Until it has arrived or cannot.
deliver() {
  begun=0 furthest=0 pause=1 waited=0 offset=
  while :; do
    if [ -z "$id" ]; then
      begun=$((begun + 1))
      if [ "$begun" -gt 3 ]; then refuse && return 1; fi
      create || return 1
      furthest=0
    elif [ -z "$offset" ]; then
      ask
    fi
    if [ -n "$offset" ]; then
      if [ "$offset" -gt "$furthest" ]; then furthest=$offset pause=1 waited=0; fi
      bytes
      offset=
      if [ "$status" = 201 ] && [ "$verdict" = ok ]; then
        arrived
        return
      fi
      if changes; then return 1; fi
    fi
    case $verdict in
      # A 2xx that is no receipt: less came than was meant.
      ok | again) rest || return 1 ;;
      gone)
        say "$shown: the upload no longer exists; starting over"
        forget
        ;;
      *) refuse && return 1 ;;
    esac
  done
}

send() {
  file=$1
  case $file in -*) file=./$file ;; esac
  name=${file##*/}
  folder=${file%"$name"}
  folder=${folder:-.}
  shown=$name
  case $file in *"$line_break"*) say "$1: has a line break in its name. Send it under another name." && return 1 ;; esac
  if [ -d "$file" ]; then
    say "$1: is a directory. Pack it first: tar czf NAME.tar.gz DIRECTORY"
    return 1
  elif [ ! -e "$file" ]; then
    say "$1: there is no such file"
    return 1
  elif [ ! -f "$file" ] || [ ! -r "$file" ]; then
    say "$1: is not a file that you may read"
    return 1
  fi
  stamp=$(stamp "$file")
  size=${stamp%% *}
  case $size in '' | *[!0-9]*) say "$1: its size cannot be found out" && return 1 ;; esac
  pause=1 waited=0
  recall
  deliver
}

main() {
  while getopts t: option; do
    case $option in
      t) ticket=$OPTARG ;;
      *) say "usage: sh send.sh [-t TICKET] FILE..." && exit 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  if [ "$#" -eq 0 ]; then say "usage: sh send.sh [-t TICKET] FILE..." && exit 2; fi
  case $ticket in *[!0-9]*) say "the ticket is a number: -t 123456" && exit 2 ;; esac
  if ! command -v curl >/dev/null 2>&1; then say "curl is missing: install it" && exit 2; fi
  token=
  case $link in
    */u/-/)
      token=${WEIGHBRIDGE_LINK_TOKEN:-}
      case $token in
        '') say "set WEIGHBRIDGE_LINK_TOKEN to the token of your upload link" && exit 2 ;;
        *[!0-9A-Za-z_-]*) say "WEIGHBRIDGE_LINK_TOKEN holds what no token has: letters, digits, - and _ only" && exit 2 ;;
      esac
      ;;
  esac
  # One that was killed may have left a folder, and process numbers come again.
  count=0
  until mkdir "${TMPDIR:-/tmp}/weighbridge-send.$$.$count" 2>/dev/null; do
    count=$((count + 1))
    if [ "$count" -ge 100 ]; then
      say "no folder for notes: set TMPDIR to one that can be written"
      exit 2
    fi
  done
  work=${TMPDIR:-/tmp}/weighbridge-send.$$.$count
  trap clean EXIT
  trap 'stopped 129' HUP
  trap 'stopped 130' INT
  trap 'stopped 143' TERM
  failed=0
  for each in "$@"; do send "$each" || failed=$((failed + 1)); done
  if [ "$failed" -gt 0 ]; then
    if [ "$#" -gt 1 ]; then say "$failed of $# files have not arrived"; fi
    exit 1
  fi
}

# One line, at the end: half a script, as a broken download leaves it, does nothing.
main "$@"; exit
