/* SPDX-License-Identifier: MIT */
/*
 * A model of the hand-off (lib/core/handoff.c) and of the producer's sleep (lib/core/sleeper.c)
 * for Spin, which tries all interleavings. run.sh builds it whole, which must pass, and with
 * one part left out at a time, which must fail.
 *
 * Who is there: the producer, a sender thread for each channel, a door that may open at any
 * moment (error, cancel), and memory, which is late. The producer walks two rounds of batches
 * and ends each with a SYNC on every channel; a sender thread writes, or its connection is
 * lost, or it stalls until the door shuts its socket. The control thread may give a connection
 * up at any moment, and shuts it; an opener brings the next one; both interrupt the sender
 * thread. What a lost channel holds goes to the `returned` list, and the producer sends it again
 * wherever there is room. The log of packets in flight and the fence are not in here: they never
 * meet the hand-off's words, and only delay the opener.
 *
 * How memory is late:
 *	slot contents     a write may arrive at any later time, in any order; a release store waits
 *	                  for those before it.  A read may be satisfied early, before the flag that
 *	                  permits it was read; an acquire forbids it.
 *	done, SYNC, open, stop
 *	                  a waker's stores sit in its store buffer (first in, first out) until
 *	                  memory takes them, or a fence drains it.
 *	announced         the same for the producer.
 * A read-modify-write drains its own buffer. Semaphores are taken for less than POSIX promises:
 * a token shows the words (fill, pending_sync, interrupt, exit) stored before it, but nothing of a
 * slot's contents, so that the proof of these rests on `fill` and `done` alone.
 *
 * What is proved: nobody waits for ever (invalid end states), with and without the door; a
 * token always finds work; the sender thread reads what was published, in ring order, and
 * nobody writes to its slot meanwhile; the producer finds what the sender thread left there; a
 * SYNC is behind all batches of its channel; no batch is written twice, and each is written,
 * returned or still in a slot.
 */

/* Two slots in all: one channel with a ring of two, or two channels with one each. */
#ifndef CHANNELS
#define CHANNELS 1
#endif
#define SLOTS (2 / CHANNELS)
#ifndef LOSSES
#define LOSSES 1		/* how many connections may be lost */
#endif
#ifndef GIVEN_UP
#define GIVEN_UP 0		/* how many more the control thread may give up */
#endif
#ifndef REOPENS
#define REOPENS 0		/* how many of the lost ones are opened again */
#endif
#ifndef ROUND_1
#define ROUND_1 3		/* the last batch of round 1: one more than there are slots */
#endif
#ifndef ROUND_2
#define ROUND_2 4
#endif

/* No connection, and none to come: the session ends by its timeout. */
#if CHANNELS == 2
#define HOPELESS (lost[0] && lost[1] && reopens == 0 && !opening && !opened[0] && !opened[1])
#else
#define HOPELESS (lost[0] && reopens == 0 && !opening && !opened[0])
#endif

#define AT(c, i) ((c) * SLOTS + (i))
#define BIT(id) (1 << (id))
#define ANSWER(id) (16 + (id))	/* what the sender thread leaves in a slot */
#define DOOR CHANNELS		/* the door's store buffer; a sender thread's: its channel */
#define NONE 255

/* Contents of store buffers: 1..SLOTS is a flip of that slot's bit in `done`. */
#define BUFFER_SYNC 10
#define BUFFER_STOP 11
#define BUFFER_OPEN 12

/* Memory as all can see it. */
byte slot[2];
bool fill[2];
bool done[2];
bool pending_sync[CHANNELS];
bool exit[CHANNELS];
bool interrupt[CHANNELS];
byte tokens[CHANNELS];
bool announced;
byte wake;
bool stop;

/* Not yet there. */
byte late_id[2];
byte late_answer[2];
bool late_announced;
byte buffer[CHANNELS + 1];

/* Under a mutex: batches of lost channels, and what became of connections. */
byte returned;
bool given_up[CHANNELS];
bool opened[CHANNELS];
byte changes;

/* The sender thread's word: closed, in the code. */
bool lost[CHANNELS];

/* The world outside. */
byte losses = LOSSES;
byte giving_up = GIVEN_UP;
byte reopens = REOPENS;
bool opening;
bool stalled;
bool shut;
bool over;
byte left;			/* sender threads that have ended */

/* For the assertions only. */
byte expected[2];		/* id published in each slot */
byte delivered;			/* set of ids */

inline drain(p)
{
	d_step {
		if
		:: buffer[p] == 0 -> skip
		:: buffer[p] == BUFFER_SYNC -> pending_sync[p] = false
		:: buffer[p] == BUFFER_OPEN -> lost[p] = false
		:: buffer[p] == BUFFER_STOP -> stop = true
		:: else -> done[AT(p, buffer[p] - 1)] = !done[AT(p, buffer[p] - 1)]
		fi;
		buffer[p] = 0
	}
}

/* A buffered store of process p; the one before it, if still there, arrives first. */
inline store(p, what)
{
	d_step {
		drain(p);
		buffer[p] = what
	}
}

inline arrive_id(i)
{
	d_step { slot[i] = late_id[i]; late_id[i] = 0 }
}

inline arrive_answer(i)
{
	d_step { slot[i] = late_answer[i]; late_answer[i] = 0 }
}

proctype Memory()
{
end:
	do
	:: atomic { late_announced -> announced = true; late_announced = false }
	:: atomic { buffer[0] != 0 -> drain(0) }
	:: atomic { buffer[1] != 0 -> drain(1) }
#if CHANNELS == 2
	:: atomic { buffer[2] != 0 -> drain(2) }
#endif
	:: atomic { late_id[0] != 0 -> arrive_id(0) }
	:: atomic { late_id[1] != 0 -> arrive_id(1) }
	:: atomic { late_answer[0] != 0 -> arrive_answer(0) }
	:: atomic { late_answer[1] != 0 -> arrive_answer(1) }
	od
}

/* sleeper_wake() by process p. */
inline wake_producer(p)
{
#ifndef NO_WAKER_FENCE
	drain(p);
#endif
	if
	:: !announced -> skip
	:: announced ->
		/* The exchange; whoever turns 1 to 0 owes a post. */
		atomic {
			drain(p);
			owes = announced;
			announced = false
		};
		if
		:: owes -> atomic { wake++; assert(wake == 1); owes = false }
		:: else
		fi
	fi
}

inline request_exit(c)
{
	exit[c] = true;
	tokens[c]++
}

/* handoff_interrupt(): one token for each false -> true. */
inline request_interrupt(c)
{
	atomic { was = interrupt[c]; interrupt[c] = true };
#ifdef NO_INTERRUPT_ONCE
	was = false;
#endif
	if
	:: was
	:: else -> tokens[c]++
	fi
}

#if GIVEN_UP > 0
/* The control thread: the receiver says, or its heartbeats, that this connection is of no use. */
proctype Control()
{
	byte c;
	bool was;

end:
	do
	:: atomic { giving_up > 0 && !over ->
		giving_up--;
#if CHANNELS == 2
		if
		:: c = 0
		:: c = 1
		fi;
#endif
		given_up[c] = given_up[c] || !lost[c] };
		request_interrupt(c)
	od
}
#endif

#if REOPENS > 0
proctype Opener(byte c)
{
	bool was;

end:
	do
	:: atomic { lost[c] && reopens > 0 && !opened[c] && !over -> reopens--; opening = true };
		atomic { opened[c] = true; opening = false };
		request_interrupt(c)
	od
}
#endif

proctype Door()
{
	bool owes;

	if
	:: true					/* an error or a cancel, at any moment */
	:: true -> (stalled || over || HOPELESS) /* or only when a deadline has passed */
	fi;
	if
	:: over
	:: else ->
		store(DOOR, BUFFER_STOP);
		request_exit(0);
#if CHANNELS == 2
		request_exit(1);
#endif
#ifndef NO_DOOR_WAKE
		wake_producer(DOOR);
#endif
		shut = true
	fi
}

inline let_go()
{
	gone = true;
	lost[c] = true;
	given_up[c] = false;
	changes++
}

/*
 * The hand-off was interrupted. The flag was cleared when the token was taken, so who sets it
 * from now on is heard again.
 */
inline handle_interrupt()
{
	atomic {
		if
		:: given_up[c] && !gone -> let_go()
		:: else
		fi
	};
	atomic {
		if
		:: gone && opened[c] ->
			opened[c] = false;
			gone = false;
			changes++;
			store(c, BUFFER_OPEN);
			up = true
		:: else
		fi
	};
	if
	:: up ->
		up = false;
#ifndef NO_OPEN_WAKE
		wake_producer(c)
#endif
	:: else
	fi
}

/* The sender thread's write: done, or the connection is lost, or nobody reads at the other end. */
inline write_packet()
{
	result = WRITTEN;
	if
	:: !gone
	:: atomic { !gone && losses > 0 -> losses--; let_go() }
	:: !gone ->
		stalled = true;
		if
		:: shut -> result = STOPPED
		:: atomic { given_up[c] -> let_go() }
		fi
	:: gone
	fi;
	if
	:: gone -> result = LOST
	:: else
	fi
}

mtype = { WRITTEN, LOST, STOPPED };

#define HAS_BATCH (fill[AT(c, next)] != mine[next])

inline handle_batch()
{
	/* The load of the contents. */
	got = slot[AT(c, next)];
#ifdef NO_TAKE_ACQUIRE
	if
	:: got = early
	:: true
	fi;
#endif
	assert(got == expected[AT(c, next)]);	/* what was published, in ring order */
	write_packet();
	if
	:: result == STOPPED			/* stays in its slot */
	:: else ->
		atomic {
			if
			:: result == WRITTEN ->
				assert((delivered & BIT(got)) == 0);	/* not twice */
				delivered = delivered | BIT(got)
			:: else -> returned = returned | BIT(got)
			fi;
			assert(slot[AT(c, next)] == got)	/* nobody has written to our slot */
		};
		atomic {
			late_answer[AT(c, next)] = ANSWER(got);
#ifndef NO_DONE_RELEASE
			arrive_answer(AT(c, next));
#endif
			store(c, next + 1);
			mine[next] = !mine[next];
			next = (next + 1) % SLOTS;
			got = 0
		};
#ifdef LATE_WAKE
		/* Later than the code, which wakes when half of the ring is free: all of it. */
		if
		:: HAS_BATCH -> skip
		:: else -> wake_producer(c)
		fi
#else
		wake_producer(c)
#endif
	fi
}

inline handle_sync()
{
	/* Behind every batch of its channel. */
	assert(fill[AT(c, 0)] == mine[0] && fill[AT(c, SLOTS - 1)] == mine[SLOTS - 1]);
	write_packet();
	if
	:: result == STOPPED
	:: else ->
		store(c, BUFFER_SYNC);
		wake_producer(c)
	fi
}

#define HAS_SYNC (pending_sync[c] && buffer[c] != BUFFER_SYNC)	/* not cleared by ourselves */

#define GO (!exit[c] && !interrupt[c])

proctype Sender(byte c)
{
	bool mine[SLOTS];	/* done, with what is still in our store buffer */
	byte next;
	byte got;
	mtype result;
	bool gone;
	bool owes;
	bool up;
#ifdef NO_TAKE_ACQUIRE
	byte early;
#endif

	do
	:: true ->
#ifdef NO_TAKE_ACQUIRE
		early = slot[AT(c, next)];
#endif
		atomic { tokens[c] > 0 -> tokens[c]-- };
		if
		:: exit[c] -> break
		:: atomic { !exit[c] && interrupt[c] -> interrupt[c] = false };
			handle_interrupt()
#ifdef NO_TOKEN_ORDER
		:: GO && HAS_SYNC -> handle_sync()
		:: GO && !HAS_SYNC && HAS_BATCH -> handle_batch()
#else
		:: GO && HAS_BATCH -> handle_batch()
		:: GO && !HAS_BATCH && HAS_SYNC -> handle_sync()
#endif
		:: else -> assert(false)	/* a token without work */
		fi
	od;
	atomic { drain(c); left++ }
}

#define HAS_ROOM (fill[AT(c, next[c])] == done[AT(c, next[c])])

/* One look at everything the producer may wait for; each load is a step of its own. */
inline look_for_slot()
{
	found = NONE;
	n = 0;
	do
	:: atomic { n < CHANNELS ->
		c = (cursor + n) % CHANNELS;
		n++ }
#ifdef NO_ACQUIRE_FENCE
		early = slot[AT(c, next[c])];
#endif
		atomic {
			if
			:: !lost[c] && !pending_sync[c] && HAS_ROOM -> found = c; break
			:: else
			fi
		}
	:: atomic { n == CHANNELS -> break }
	od;
	ready = (found != NONE || stop)
}

inline look_for_syncs()
{
	atomic {
		ready = (!pending_sync[0] && !pending_sync[CHANNELS - 1]) || stop
	}
}

inline announce()
{
	late_announced = true;
#ifndef NO_SLEEPER_FENCE
	atomic {
		if
		:: late_announced -> announced = true; late_announced = false
		:: else
		fi
	}
#endif
}

inline retract()
{
	/* An exchange: it drains our store buffer. */
	atomic {
		owes = announced || late_announced;
		late_announced = false;
		announced = false
	};
	if
	:: owes
	:: else -> atomic { wake > 0 -> wake-- }	/* a waker was quicker */
	fi
}

/* The loop of sleeper.h around one of the looks above. */
#ifndef NO_RECHECK
#define WAIT_UNTIL(look) \
	do \
	:: true -> \
		look; \
		if \
		:: ready -> break \
		:: else \
		fi; \
		announce(); \
		look; \
		if \
		:: ready -> retract(); break \
		:: else \
		fi; \
		atomic { wake > 0 -> wake-- } \
	od
#else
#define WAIT_UNTIL(look) \
	do \
	:: true -> \
		look; \
		if \
		:: ready -> break \
		:: else \
		fi; \
		announce(); \
		atomic { wake > 0 -> wake-- } \
	od
#endif

inline publish()
{
	atomic {
		c = found;
		cursor = (found + 1) % CHANNELS;
		i = AT(c, next[c]);
		/* The load behind the acquire fence: what the last user left. */
		got = slot[i];
#ifdef NO_ACQUIRE_FENCE
		if
		:: got = early
		:: true
		fi;
#endif
		assert(expected[i] == 0 || got == ANSWER(expected[i]));
		got = 0;
		expected[i] = job;
		late_id[i] = job;
#ifndef NO_RELEASE
		arrive_id(i)
#endif
	};
	atomic {
		fill[i] = !fill[i];
		next[c] = (next[c] + 1) % SLOTS;
		job = 0
	};
#ifdef NO_TOKEN
	/* "It is awake anyway": post only if the ring was empty. */
	if
	:: SLOTS == 2 && fill[0] != done[0] && fill[1] != done[1]
	:: else -> tokens[c]++
	fi
#else
	tokens[c]++
#endif
}

/*
 * On a lost channel too: there it is answered, not written, when the last batch from its slots
 * is on the returned list.
 */
inline request_sync(c)
{
	assert(!pending_sync[c]);
#ifdef NO_SYNC_ON_LOST
	if
	:: lost[c]
	:: else -> pending_sync[c] = true; tokens[c]++
	fi
#else
	pending_sync[c] = true;
	tokens[c]++
#endif
}

/* The next batch to send into `job`: what came back first.  0 when the round has none left. */
inline take_job()
{
	d_step {
		job = 0;
		if
		:: returned != 0 ->
			job = 1;
			do
			:: (returned & BIT(job)) == 0 -> job++
			:: else -> break
			od;
			returned = returned & ~BIT(job)
		:: returned == 0 && walked < last -> walked++; job = walked
		:: else
		fi
	}
}

proctype Producer()
{
	byte next[CHANNELS];
	byte cursor;
	byte walked;
	byte last = ROUND_1;
	byte job;
	byte found;
	byte c;
	byte i;
	byte n;
	byte got;
	bool ready;
	bool owes;
	byte changes_before;
#ifdef NO_ACQUIRE_FENCE
	byte early;
#endif

	do
	:: true ->
		take_job();
		if
		:: job != 0 ->
			WAIT_UNTIL(look_for_slot());
			if
			:: stop -> break
			:: else
			fi;
			publish()
		:: else ->
			changes_before = changes;
			WAIT_UNTIL(look_for_syncs());
			if
			:: stop -> break
			:: else
			fi;
			request_sync(0);
#if CHANNELS == 2
			request_sync(1);
#endif
			WAIT_UNTIL(look_for_syncs());
			if
			:: stop -> break
			:: else
			fi;
			if
			:: returned != 0 || changes_before != changes /* send that, and SYNC again */
			:: else ->
				/* The round has ended: all of it has been written. */
				assert(delivered == (BIT(last + 1) - 2));
				if
				:: last == ROUND_1 -> last = ROUND_2
				:: else -> break
				fi
			fi
		fi
	od;

	/* Out by the door, whoever opened it. */
	over = true;
	request_exit(0);
#if CHANNELS == 2
	request_exit(1);
#endif
	if
	:: stop -> shut = true
	:: else
	fi;
	(left == CHANNELS);			/* join */
	d_step {
		/* Every batch is written, or with the producer, or still in a slot. */
		got = delivered | returned;
		if
		:: job != 0 -> got = got | BIT(job)
		:: else
		fi;
		i = 0;
		do
		:: i < 2 ->
			if
			:: fill[i] != done[i] -> got = got | BIT(expected[i])
			:: else
			fi;
			i++
		:: else -> break
		od;
		assert(got == (BIT(walked + 1) - 2));
		assert(wake == 0 || stop)
	}
}

init {
	atomic {
		run Memory();
		run Door();
#if GIVEN_UP > 0
		run Control();
#endif
#if REOPENS > 0
		run Opener(0);
#if CHANNELS == 2
		run Opener(1);
#endif
#endif
		run Sender(0);
#if CHANNELS == 2
		run Sender(1);
#endif
		run Producer()
	}
}
