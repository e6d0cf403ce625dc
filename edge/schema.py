"""The terminal's tables, as plain SQL: what is owed (`ledger.db`) and where the vehicle was (`trail.db`).

Nothing here is readable speech: records, snapshots and drafts are sealed or signed bytes before SQL sees them, because a
deleted row survives in the write-ahead log (measured: 508 copies).

A file is a ladder of steps. Step 1 made it; a step is never edited once it was released, only followed by another.
"""

from __future__ import annotations

from msgspec import Struct


class Step(Struct, frozen=True, kw_only=True):
    """What brings a file from the schema before to this one. `is_additive`: a program that has never heard of this step
    reads and writes the file as well as before, so an upgrade can be taken back; otherwise it must refuse the file."""

    sql: str
    is_additive: bool


_LEDGER_1 = """
create table log (                         -- one row: this file's numbered life
  one            integer primary key check (one = 1),
  log_id         blob not null check (length(log_id) = 16),
  next           integer not null,         -- the seq the next record takes
  through        integer not null,         -- the hub's receipt covers everything up to here
  hub_epoch      integer not null          -- the epoch of that receipt
) strict;

create table record (
  seq            integer primary key,
  kind           text not null,
  data           blob not null,            -- the signed bytes, sent exactly as they are
  stored_ms      integer not null,         -- wall clock, for "oldest 4 min"; never for order
  receipted_ms   integer                   -- null while owed; kept 72 h of running after, for a hub that is restored
) strict;

create table held (                        -- desired state, the newest version of each section
  section        text primary key,
  epoch          integer not null,
  n              integer not null,
  snapshot       blob not null,            -- as the hub signed and sealed it; opened in memory only
  held_ms        integer not null
) strict;

create table press (                       -- the crew's own statuses that the hub has not yet folded in
  seq            integer primary key,
  status         text not null,
  assignment     text,
  pressed_ms     integer not null
) strict;

create table shift (                       -- at most one is open
  shift          blob primary key check (length(shift) = 16),
  unit           text not null,
  staff          text not null,
  began_ms       integer not null,
  ended_ms       integer,
  shift_key      blob                      -- private key of this shift under the vault key; null once destroyed
) strict;

create table draft (
  note_id        blob primary key check (length(note_id) = 16),
  encounter      blob not null check (length(encounter) = 16),
  staff          text not null,
  sealed         blob not null,            -- AES-256-GCM under the vault key
  saved_ms       integer not null
) strict;

create table note (                        -- finals this terminal wrote, or a desk fetched: sealed, as on the wire
  note_id        blob primary key check (length(note_id) = 16),
  encounter      blob not null,
  body_sha256    blob not null,
  device         text not null,
  certificate    blob,                     -- of the author's device, for notes that came from elsewhere
  note           blob not null,
  kept_ms        integer not null,
  seq            integer                   -- of the record that carries it; null for notes that came from elsewhere
) strict;

create table emergency (                   -- raised here and not over: dispatch has not cleared it, or missed a press
  emergency      blob primary key check (length(emergency) = 16),
  is_drill       integer not null,
  raised_ms      integer,                  -- of the first press, null when the board's clock was not set
  boot           blob not null check (length(boot) = 16),
  mono_ms        integer not null,         -- with boot: the newest press
  first_seq      integer not null,
  seq            integer not null,         -- of the newest press
  is_asked       integer not null default 0 -- the crew has asked dispatch to clear it
) strict;

create table fact (                        -- small persistent truths: high-water marks, boot counter
  name           text primary key,
  value          integer not null
) strict;
"""

_TRAIL_1 = """
create table log (
  one            integer primary key check (one = 1),
  log_id         blob not null check (length(log_id) = 16),
  next           integer not null,
  through        integer not null,
  hub_epoch      integer not null
) strict;

create table record (
  seq            integer primary key,
  kind           text not null,
  data           blob not null,
  stored_ms      integer not null,
  receipted_ms   integer
) strict;
"""

_TRAIL_2 = """
create table piece (                       -- fixes of the last minute, on the disk and not yet in a record
  number         integer primary key,
  stamp          blob not null,            -- of its boot, when it was written
  points         blob not null,            -- packed as the body of a record is
  fixes          integer not null          -- points and dropped ones, for a piece that cannot be read any more
) strict;

-- Numbers of records, see edge/thinning.py. They stand beside `next`, whose page is written with each record anyway.
alter table log add column handed integer not null default 0;    -- the link may have had everything up to here
alter table log add column thinned integer not null default 0;   -- this round of thinning has come so far
alter table log add column let_go integer not null default 0;    -- copies up to here went before their 72 hours
alter table log add column own integer not null default 0;       -- the last that a program stored which keeps `handed`
"""

LEDGER = (Step(sql=_LEDGER_1, is_additive=False),)
TRAIL = (Step(sql=_TRAIL_1, is_additive=False), Step(sql=_TRAIL_2, is_additive=True))
