/* Reaping (DESIGN section 6) of one item, to be checked exhaustively: README.md says how.
 *
 * A record is the set of dots that it has seen: the value V, the tombstone T, which covers V, and the
 * value W, which nothing covers. Merging is OR. The net keeps every record that was ever sent, and any
 * of them may arrive anywhere at any time, again and again, or never; so everybody sends what they hold
 * as soon as they hold it, and no behaviour is lost by that. The requests of a round's driver linger in
 * the same way. Disks are durable; but once, the disk of one node may be replaced by an older copy of
 * itself: the weak owner's with -DOLD_DISK_OF_OWNER, else the non-owner's.
 *
 * -DWITHOUT_<RULE> takes one rule out; then the check must fail.
 */

#ifndef OWNERS
#define OWNERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define LAST (ROUNDS + 1) /* epochs are 1..LAST */
#define ALL ((1 << OWNERS) - 1)
#define WEAK (OWNERS - 1) /* the owner that may restart or get an old disk, and that hints are for */

#define V 1
#define T 2
#define W 4
#define DEAD (V | T) /* the tombstone's record */
#define SHOWS_V(record) (((record) & DEAD) == V)
#define MAX(a, b) (((a) > (b)) -> (a) : (b))
#define MIN(a, b) (((a) < (b)) -> (a) : (b))

/* ---- Durable ---- */

typedef Owner {
  unsigned record : 3;
  unsigned current : 2; /* the epoch: the stamp of what is read here */
  unsigned closed : 2;  /* the lowest stamp that is accepted */
  unsigned changed : 2; /* the epoch when the record last changed */
  bit marked
};
typedef NonOwner {
  unsigned hint : 3; /* a record kept for the weak owner */
  unsigned stamp : 2;
  unsigned noted : 2 /* the lowest stamp that is accepted, and the stamp of what is minted here */
};
Owner owner[OWNERS];
NonOwner other;

/* ---- Not durable ---- */

bool told[OWNERS];       /* another owner has told it the epochs since the start */
bool other_told;
unsigned since : 3; /* the first round that began after the weak owner last started */
unsigned other_since : 3;

/* By stamp: bit V, a record that shows V was sent; bit T, one with the tombstone; bit W, one with W. A
 * record travels in these parts, since each part of it is a record that might have been sent. */
typedef Parts {
  unsigned sent : 3
};
Parts net[LAST + 1];
#define PARTS(record) (SHOWS_V(record) -> (record) : (record) & (T | W))
#define IN_NET(part, s) (net[s].sent & (part & (part == V -> V : (T | W))))
#define SEND(record, s) net[s].sent = net[s].sent | PARTS(record)

#define RAISE 1
#define NOTE 2
#define COLLECT 3
#define CLOSE 4
#define MARK 5
#define DELETE 6
unsigned round : 2;       /* the epoch that the driver's round raises to; 0: none yet */
unsigned step : 3;        /* of that round */
unsigned acks : OWNERS;   /* to that step */
bool noted, reported;     /* what the non-owner has said in that round */
byte requested[LAST + 1]; /* by round, bit n: the requests of step n were sent */
#define REQUESTED(t, n) ((requested[t] >> (n)) & 1)
#define ACK(me, t, n)                                   \
  if                                                    \
  :: round == t && step == n -> acks = acks | (1 << me) \
  :: else                                               \
  fi

/* ---- What only the check knows ---- */

unsigned minted : 3; /* dots that exist */
bool deleted;        /* some owner has deleted the tombstone */
byte reaped[OWNERS]; /* the round in which this one did, as long as nobody brought it back */
bool replaced;       /* a disk was */
bool excused;        /* W was nowhere but on a disk that is gone: the promise's one exclusion */

#if OWNERS == 3
#define HELD(dot) ((owner[0].record | owner[1].record | owner[2].record | other.hint) & dot)
#else
#define HELD(dot) ((owner[0].record | owner[1].record | other.hint) & dot)
#endif
#define LOSS_IS_EXCUSED                                  \
  if                                                     \
  :: (minted & W) && !HELD(W) && replaced -> excused = 1 \
  :: else                                                \
  fi

/* ---- Rules that are conditions ---- */

#if defined(WITHOUT_STAMP)
#define OWNER_ACCEPTS(me, s) true
#else
#define OWNER_ACCEPTS(me, s) (s >= owner[me].closed)
#endif

#if defined(WITHOUT_STAMP) || defined(WITHOUT_NOTE_REFUSES)
#define OTHER_ACCEPTS(s) true
#else
#define OTHER_ACCEPTS(s) (s >= other.noted)
#endif

#ifdef WITHOUT_LOWEST_STAMP
#define STAMP_OF_MERGED(a, b) MAX(a, b)
#else
#define STAMP_OF_MERGED(a, b) MIN(a, b)
#endif

#ifdef WITHOUT_UNCHANGED_SINCE
#define UNCHANGED(me) true
#else
#define UNCHANGED(me) (owner[me].changed < owner[me].current)
#endif

#ifdef WITHOUT_EQUAL_ON_ALL /* the driver's own copy decides */
#define ELIGIBLE(me) (me != 0 || (owner[0].record == DEAD && UNCHANGED(0)))
#else
#define ELIGIBLE(me) (owner[me].record == DEAD && UNCHANGED(me))
#endif

#ifdef WITHOUT_CLOSE_BEFORE_MARK
#define MAY_MARK(me, t) (owner[me].current == t)
#else
#define MAY_MARK(me, t) (owner[me].current == t && owner[me].closed == t)
#endif

#ifdef WITHOUT_MARK_BEFORE_DELETE
#define MAY_DELETE(me, t) (owner[me].current == t && ELIGIBLE(me) && owner[me].record == DEAD)
#else
#define MAY_DELETE(me, t) (owner[me].current == t && owner[me].marked)
#endif

/* A round is one of incarnations: its requests mean nothing to an owner that has started since. */
#ifdef WITHOUT_SAME_INCARNATION
#define ASKED(me, t, n) (SERVES(me) && REQUESTED(t, n))
#define OTHER_ASKED(t, n) REQUESTED(t, n)
#else
#define OTHER_ASKED(t, n) (REQUESTED(t, n) && t >= other_since)
#define ASKED(me, t, n) (SERVES(me) && REQUESTED(t, n) && (me != WEAK || t >= since))
#endif

/* What others are sent of a copy unasked, in exchanges too; and what a read gets to see. */
#ifdef WITHOUT_MARKED_SENT_TO_NOBODY
#define SENT_OF(me) owner[me].record
#else
#define SENT_OF(me) (owner[me].marked -> 0 : owner[me].record)
#endif
#ifdef WITHOUT_MARKED_IS_READ
#define READ_OF(me) (owner[me].marked -> 0 : owner[me].record)
#else
#define READ_OF(me) owner[me].record
#endif

#ifdef WITHOUT_TOLD_BEFORE_SERVING
#define SERVES(me) true
#define OTHER_SERVES true
#else
#define SERVES(me) told[me]
#define OTHER_SERVES other_told
#endif

/* ---- An owner ---- */

#define SEND_COPY(me) SEND(SENT_OF(me), owner[me].current)

inline change(me, dots) {
  owner[me].record = owner[me].record | (dots);
  owner[me].changed = owner[me].current;
#ifndef WITHOUT_CHANGE_UNMARKS
  owner[me].marked = 0;
#endif
  if
  :: (dots) & T -> reaped[me] = 0
  :: else
  fi;
  SEND_COPY(me)
}

/* Being sent what it has unmarks too: the sender has not marked its own. */
#define TAKE(me, r, s)                                                                            \
  :: d_step { SERVES(me) && IN_NET(r, s) && OWNER_ACCEPTS(me, s) &&                               \
              ((owner[me].record | r) != owner[me].record || owner[me].marked) -> change(me, r) }

#ifdef WITHOUT_SET_ASIDE_OLD_DISK
inline set_aside(me, epoch) { owner[me].current = epoch; SEND_COPY(me) }
#else
inline set_aside(me, epoch) {
  owner[me].record = 0;
  owner[me].marked = 0;
  owner[me].changed = 0;
  owner[me].current = epoch;
  LOSS_IS_EXCUSED
}
#endif

inline raise_to(me, t) {
  if
  :: owner[me].current < t -> owner[me].current = t; SEND_COPY(me)
  :: else
  fi
}

/* What an owner does when the driver of round t asks. */
#define ANSWER(me, t)                                                                             \
  /* 1 */                                                                                         \
  :: d_step { ASKED(me, t, RAISE) && owner[me].current <= t ->                      \
       raise_to(me, t);                                                                           \
       CLOSE_AT_RAISE(me, t);                                                                     \
       ACK(me, t, RAISE) }                                                                        \
  /* 3: a mark of an earlier round is taken off, since others may have deleted theirs */          \
  :: d_step { ASKED(me, t, COLLECT) && owner[me].current == t ->                    \
       if                                                                                         \
       :: owner[me].marked -> change(me, 0)                                                       \
       :: else                                                                                    \
       fi;                                                                                        \
       if                                                                                         \
       :: ELIGIBLE(me) -> ACK(me, t, COLLECT)                                                     \
       :: else                                                                                    \
       fi }                                                                                       \
  /* 4 */                                                                                         \
  :: d_step { ASKED(me, t, CLOSE) && owner[me].current >= t ->                                    \
       owner[me].closed = MAX(owner[me].closed, t);                                               \
       ACK(me, t, CLOSE) }                                                                        \
  /* 5 */                                                                                         \
  :: d_step { ASKED(me, t, MARK) && MAY_MARK(me, t) && ELIGIBLE(me) ->              \
       owner[me].marked = (owner[me].record == DEAD);                                             \
       ACK(me, t, MARK) }                                                                         \
  /* 6 */                                                                                         \
  :: d_step { ASKED(me, t, DELETE) && MAY_DELETE(me, t) ->                          \
       owner[me].record = 0;                                                                      \
       owner[me].marked = 0;                                                                      \
       owner[me].changed = 0;                                                                     \
       reaped[me] = t;                                                                            \
       deleted = 1 }

#ifdef WITHOUT_OWNERS_STILL_ACCEPT
#define CLOSE_AT_RAISE(me, t) owner[me].closed = MAX(owner[me].closed, t)
#else
#define CLOSE_AT_RAISE(me, t) skip
#endif

#ifdef WITHOUT_READ_AGAIN /* what was refused is sent again under the sender's new epoch */
#define SEND_AGAIN(me, r, s)                                                               \
  :: d_step { IN_NET(r, s) && s < owner[me].current && SERVES(me) -> SEND(r, owner[me].current) }
#else
#define SEND_AGAIN(me, r, s)
#endif

#if ROUNDS == 1
#define EACH_ROUND(X, me) X(me, 2)
#define EACH_STAMP(X, me, r) X(me, r, 1) X(me, r, 2)
#else
#define EACH_ROUND(X, me) X(me, 2) X(me, 3)
#define EACH_STAMP(X, me, r) X(me, r, 1) X(me, r, 2) X(me, r, 3)
#endif
#define EACH_MESSAGE(X, me) EACH_STAMP(X, me, V) EACH_STAMP(X, me, DEAD) EACH_STAMP(X, me, W)

proctype OwnerNode(byte me) {
  do
  :: d_step { SERVES(me) && !(minted & V) -> minted = minted | V; change(me, V) }
  :: d_step { SERVES(me) && !(minted & T) && (owner[me].record & V) -> minted = minted | T; change(me, T) }
  :: d_step { SERVES(me) && !(minted & W) -> minted = minted | W; change(me, W) }
  EACH_MESSAGE(TAKE, me)
  EACH_MESSAGE(SEND_AGAIN, me)
  EACH_ROUND(ANSWER, me)
  od
}

/* What the weak owner, started again, is told by another one. */
#define TOLD_BY_OWNER(m)                                                    \
  :: d_step { !told[WEAK] ->                                                \
       if                                                                   \
       :: owner[WEAK].current < owner[m].closed -> set_aside(WEAK, owner[m].closed) \
       :: else                                                              \
       fi;                                                                  \
       raise_to(WEAK, owner[m].current);                                    \
       owner[WEAK].closed = MAX(owner[WEAK].closed, owner[m].closed);       \
       told[WEAK] = 1 }

proctype WeakStarts() {
  do
  :: d_step { told[WEAK] -> told[WEAK] = 0; since = round + 1 } /* it ends, and starts again */
  TOLD_BY_OWNER(0)
#if OWNERS == 3
  TOLD_BY_OWNER(1)
#endif
  od
}

/* ---- The member that owns nothing ---- */

inline keep_hint(r, s) {
  other.stamp = ((other.hint == 0) -> (s) : STAMP_OF_MERGED(other.stamp, s));
  other.hint = other.hint | (r);
  SEND(other.hint, other.stamp)
}
inline drop_hint() {
  other.hint = 0;
  other.stamp = 0
}

#define KEEP(me, r, s)                                                           \
  :: d_step { OTHER_SERVES && IN_NET(r, s) && OTHER_ACCEPTS(s) &&                \
              ((other.hint | r) != other.hint || s < other.stamp) -> keep_hint(r, s) }

#ifdef WITHOUT_STAMPS_NEVER_RISE
#define HINT_AT_NOTE(t)                                                               \
  if                                                                                  \
  :: other.hint != 0 && other.stamp < t -> other.stamp = t; SEND(other.hint, t)       \
  :: else                                                                             \
  fi
#else
#define HINT_AT_NOTE(t) skip
#endif

#ifdef WITHOUT_REPORT_AFTER_NOTE
#define MAY_REPORT(t) true
#else
#define MAY_REPORT(t) (other.noted >= t)
#endif

#define OTHER_ANSWERS(me, t)                                                        \
  :: d_step { OTHER_ASKED(t, NOTE) && other.noted <= t ->                             \
       other.noted = t;                                                             \
       HINT_AT_NOTE(t);                                                             \
       if                                                                           \
       :: round == t -> noted = 1                                                   \
       :: else                                                                      \
       fi }                                                                         \
  :: d_step { OTHER_ASKED(t, NOTE) && round == t && MAY_REPORT(t) &&                  \
              (other.hint == 0 || other.stamp >= t) -> reported = 1 }

/* Told of a higher epoch than it has noted, a non-owner may have forgotten what it noted and reported, and waits
 * until it has noted that. */
#ifdef WITHOUT_NON_OWNER_WAITS
#define OTHER_IS_TOLD(m) 1
#else
#define OTHER_IS_TOLD(m) (other.noted >= owner[m].current)
#endif
#define OTHER_TOLD_BY_OWNER(m)                                                       \
  :: d_step { !other_told ->                                                         \
       if                                                                            \
       :: other.stamp < owner[m].closed -> drop_hint(); LOSS_IS_EXCUSED              \
       :: else                                                                       \
       fi;                                                                           \
       other.noted = MAX(other.noted, owner[m].closed);                              \
       other_told = OTHER_IS_TOLD(m) }

proctype NonOwnerNode() {
  do
  /* Where no owner answers, it mints by the same rule. */
  :: d_step { OTHER_SERVES && !(minted & V) -> minted = minted | V; keep_hint(V, other.noted) }
  :: d_step { OTHER_SERVES && !(minted & W) -> minted = minted | W; keep_hint(W, other.noted) }
  EACH_MESSAGE(KEEP, 0)
  /* Replay: what is refused had been delivered. */
  :: d_step { other.hint != 0 && SERVES(WEAK) ->
       if
       :: OWNER_ACCEPTS(WEAK, other.stamp) -> change(WEAK, other.hint)
       :: else
       fi;
       drop_hint() }
  EACH_ROUND(OTHER_ANSWERS, 0)
  :: d_step { other_told -> other_told = 0; other_since = round + 1 }
  OTHER_TOLD_BY_OWNER(0)
  OTHER_TOLD_BY_OWNER(1)
  od
}

/* ---- The driver of the rounds ---- */

#ifdef WITHOUT_CLOSE_BEFORE_MARK
#define ALSO(n) ((n == MARK) -> (1 << CLOSE) : 0)
#else
#define ALSO(n) 0
#endif
inline next_step(n) {
  step = n;
  acks = 0;
  requested[round] = requested[round] | (1 << n) | ALSO(n)
}

#ifdef WITHOUT_RAISE_BEFORE_NOTE
#define RAISED true
#else
#define RAISED (acks == ALL)
#endif
#ifdef WITHOUT_REPORT
#define REPORTED noted
#else
#define REPORTED (noted && reported)
#endif
#if defined(WITHOUT_CLOSE_BEFORE_MARK) /* they close, and meanwhile they mark */
#define AFTER_COLLECT MARK
#define AFTER_MARK DELETE
#define AFTER_CLOSE DELETE
#elif defined(WITHOUT_MARK_BEFORE_DELETE)
#define AFTER_COLLECT CLOSE
#define AFTER_CLOSE DELETE
#define AFTER_MARK DELETE
#else
#define AFTER_COLLECT CLOSE
#define AFTER_CLOSE MARK
#define AFTER_MARK DELETE
#endif

proctype Driver() {
  do
  :: d_step { round < LAST -> /* the first round, or the one after a round that was given up */
       round = ((round == 0) -> 2 : round + 1);
       noted = 0;
       reported = 0;
       next_step(RAISE) }
  :: d_step { step == RAISE && RAISED -> next_step(NOTE) }
  :: d_step { step == NOTE && REPORTED -> next_step(COLLECT) }
  :: d_step { step == COLLECT && acks == ALL -> next_step(AFTER_COLLECT) }
  :: d_step { step == CLOSE && acks == ALL -> next_step(AFTER_CLOSE) }
  :: d_step { step == MARK && acks == ALL -> next_step(AFTER_MARK) }
  od
}

/* ---- A coordinator: reads one owner now, and gets an older answer of another; repairs with both ---- */

#ifdef WITHOUT_COORDINATORS_IGNORE
#define IGNORED(o, s) false
#else
#define IGNORED(o, s) (s < owner[o].closed)
#endif

#define READ(o, r, s)                                                                             \
  :: d_step { SERVES(o) && IN_NET(r, s) && !IGNORED(o, s) ->                                      \
       assert(!((reaped[o] || owner[o].marked) && SHOWS_V(READ_OF(o) | r))); /* deleted, yet read */ \
       SEND(READ_OF(o) | r, STAMP_OF_MERGED(s, owner[o].current)) }

proctype Coordinator() {
  do
  EACH_MESSAGE(READ, 0)
  EACH_MESSAGE(READ, WEAK)
  od
}

/* ---- Disks that are replaced ---- */

proctype Restorer() {
#ifdef OLD_DISK_OF_OWNER
  Owner old;
  d_step {
    old.record = owner[WEAK].record;
    old.current = owner[WEAK].current;
    old.closed = owner[WEAK].closed;
    old.changed = owner[WEAK].changed;
    old.marked = owner[WEAK].marked
  };
  d_step {
    owner[WEAK].record = old.record;
    owner[WEAK].current = old.current;
    owner[WEAK].closed = old.closed;
    owner[WEAK].changed = old.changed;
    owner[WEAK].marked = old.marked;
    old.record = 0;
    old.current = 0;
    old.closed = 0;
    old.changed = 0;
    old.marked = 0;
    told[WEAK] = 0;
    since = round + 1;
    reaped[WEAK] = 0;
    replaced = 1;
    LOSS_IS_EXCUSED
  }
#else
  NonOwner old;
  d_step {
    old.hint = other.hint;
    old.stamp = other.stamp;
    old.noted = other.noted
  };
  d_step {
    other.hint = old.hint;
    other.stamp = old.stamp;
    other.noted = old.noted;
    old.hint = 0;
    old.stamp = 0;
    old.noted = 0;
    other_told = 0;
    other_since = round + 1;
    replaced = 1;
    LOSS_IS_EXCUSED
  }
#endif
}

/* ---- What must hold, always ---- */

/* Nothing deleted comes back. */
#define RETURNED(me) (deleted && SERVES(me) && SHOWS_V(owner[me].record))
/* Nor does anti-entropy bring the tombstone back from a copy that has not changed since. */
#define EXCHANGE_RETURNS(a, b)                                             \
  (reaped[a] && owner[a].record == 0 && SENT_OF(b) == DEAD &&         \
   owner[b].changed < reaped[a] && !(replaced && b == WEAK))

proctype Monitor() {
  if
  :: atomic { (minted & W) && !excused && !HELD(W) -> assert(false) } /* acknowledged, and lost */
  :: atomic { RETURNED(0) || RETURNED(1) -> assert(false) }
  :: atomic { EXCHANGE_RETURNS(0, 1) || EXCHANGE_RETURNS(1, 0) -> assert(false) }
#if OWNERS == 3
  :: atomic { RETURNED(2) -> assert(false) }
  :: atomic { EXCHANGE_RETURNS(0, 2) || EXCHANGE_RETURNS(1, 2) -> assert(false) }
  :: atomic { EXCHANGE_RETURNS(2, 0) || EXCHANGE_RETURNS(2, 1) -> assert(false) }
#endif
  fi
}

init {
  byte i;
  atomic {
    other.noted = 1;
    other_told = 1;
    for (i : 0 .. OWNERS - 1) {
      owner[i].current = 1;
      owner[i].closed = 1;
      told[i] = 1
    }
    i = 0;
    for (i : 0 .. OWNERS - 1) {
      run OwnerNode(i)
    }
    i = 0;
    run WeakStarts();
    run NonOwnerNode();
    run Driver();
    run Coordinator();
    run Restorer();
    run Monitor()
  }
}
