"""The hub's tables. `record` is the truth and only grows; everything under "projections" can be dropped and rebuilt.

Times ending in `_ms` are Unix milliseconds; `held_ms` is always the hub's own clock.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# --- the fleet and its people: entered by people, audited -------------------------------------------------------------

unit = Table(
    "unit",
    metadata,
    Column("unit", Text, primary_key=True),  # id; the call sign may change, the id does not
    Column("call_sign", Text, nullable=False, unique=True),
    Column("agency", Text, nullable=False),
    Column("kind", Text, nullable=False),  # vehicle | desk
)

device = Table(
    "device",
    metadata,
    Column("device", Text, primary_key=True),
    Column("unit", Text, ForeignKey("unit.unit"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # pending | enrolled | active | revoked
    Column("public", LargeBinary),  # SubjectPublicKeyInfo DER of the identity, null while pending
    Column("kem_public", LargeBinary),
    Column("certificate", LargeBinary),
    Column("serial", Text),  # hex
    Column("not_after_ms", Integer),
    Column("facts", LargeBinary),  # MessagePack of wire.enrollment.Facts
    Column("added_ms", Integer, nullable=False),
    Column("enrolled_ms", Integer),
    Column("revoked_ms", Integer),
    Column("revoked_reason", Text),
)

bundle = Table(
    "bundle",
    metadata,
    Column("tid", LargeBinary, primary_key=True),
    Column("device", Text, ForeignKey("device.device"), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("exp_ms", Integer, nullable=False),
    Column("wrong_macs", Integer, nullable=False, default=0),
    Column("used_ms", Integer),
    Column("answer_to", LargeBinary),  # SHA-256 of csr ‖ kem: the same board may ask again for 15 minutes
    Column("answer", LargeBinary),
)

staff = Table(
    "staff",
    metadata,
    Column("staff", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # specialist | sworn | clinician
    Column("skills", Text, nullable=False),  # codes of wire.incident.SKILLS, space separated
    Column("languages", Text, nullable=False),  # ISO 639-3, space separated
    Column("licenses", Text, nullable=False, server_default=""),  # code:last day, space separated
)

duty = Table(  # who may sign on at which unit
    "duty",
    metadata,
    Column("unit", Text, ForeignKey("unit.unit"), primary_key=True),
    Column("staff", Text, ForeignKey("staff.staff"), primary_key=True),
)

account = Table(  # who may sign in at the console
    "account",
    metadata,
    Column("account", Text, primary_key=True),  # sign-in name
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("password", LargeBinary, nullable=False),  # Argon2id
    Column("fails", Integer, nullable=False, default=0),
    Column("first_fail_ms", Integer),
    Column("locked_ms", Integer),
)

web_session = Table(
    "web_session",
    metadata,
    Column("session", LargeBinary, primary_key=True),  # SHA-256 of the cookie's 128 bits
    Column("account", Text, ForeignKey("account.account"), nullable=False),
    Column("csrf", Text, nullable=False),
    Column("began_ms", Integer, nullable=False),
    Column("seen_ms", Integer, nullable=False),
)

api_token = Table(  # programs that may ask over HTTP; rows stay, so that no name is ever used for another one
    "api_token",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("has_cji", Boolean, nullable=False),  # the agency lets this dispatch system see police records
    Column("secret", LargeBinary, nullable=False, unique=True),  # SHA-256 of the token
    Column("added_ms", Integer, nullable=False),
    Column("expires_ms", Integer, nullable=False),
    Column("used_ms", Integer),
    Column("revoked_ms", Integer),
)

# --- incidents: entered by people -------------------------------------------------------------------------------------

incident = Table(
    "incident",
    metadata,
    Column("incident", Text, primary_key=True),  # minted by the client, so that making it twice makes it once
    Column("encounter", LargeBinary, nullable=False, unique=True),
    Column("number", Integer, nullable=False, unique=True),  # for people: 1, 2, 3 …
    Column("type", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("place", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("cautions", Text, nullable=False, default="[]"),  # JSON list of sentences about behavior
    Column("need", Text, nullable=False),  # JSON of hub.rank.Need
    Column("gate", Text, nullable=False),
    Column("state", Text, nullable=False),  # open | closed | canceled
    Column("opened_ms", Integer, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("closed_ms", Integer),
    Column("disposition", Text),  # how it ended
    Column("revision", Integer, nullable=False, server_default="0"),  # rises with every change, so that none is lost
    Column("gate_by", Text),  # who called the scene secure, by name
    Column("recommended", Text),  # how a clinician said it should end
    Column("reopened_ms", Integer),
    Column("merged_into", Text),  # the incident that replaced this one
)

incident_act = Table(  # what people did to an incident, in order; each line of it with its label
    "incident_act",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "act", Text, nullable=False, unique=True
    ),  # minted by the client; "opened:" before the incident for the first
    Column("incident", Text, ForeignKey("incident.incident"), nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("by", Text, nullable=False),  # account, or "hub"
    Column("what", Text, nullable=False),
    Column("said", Text, nullable=False),  # JSON of the request: the same id with another is refused
    Column("lines", Text, nullable=False),  # JSON list of hub.deeds.Line
    Column("revision", Integer, nullable=False),  # of the incident after it
)

packet_answer = Table(  # what is known before a crew arrives; a question without a row was not asked
    "packet_answer",
    metadata,
    Column("incident", Text, ForeignKey("incident.incident"), primary_key=True),
    Column("question", Text, primary_key=True),  # code of wire.packet.PACKET
    Column("answer", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("by", Text, nullable=False),
)

caution = Table(  # what somebody did, that a crew must beware of; never a diagnosis, never for ever
    "caution",
    metadata,
    Column("caution", Text, primary_key=True),  # minted by the client
    Column("incident", Text, ForeignKey("incident.incident"), nullable=False),  # on which it was noted
    Column("behavior", Text, nullable=False),  # code of wire.packet.BEHAVIORS
    Column("severity", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("scope", Text, nullable=False),  # person | address | area
    Column("subject", Text, nullable=False),  # the person's name, or how people name the address
    Column("born", Text, nullable=False),  # the person's date of birth, "" when unknown
    Column("lat", Float, nullable=False),
    Column("lon", Float, nullable=False),
    Column("radius_m", Integer, nullable=False),  # 0 but for an area
    Column("observed_ms", Integer, nullable=False),
    Column("expires_ms", Integer, nullable=False),
    Column("entered_ms", Integer, nullable=False),
    Column("entered_by", Text, nullable=False),
    Column("ended_ms", Integer),  # expired, or taken back
    Column("ended_by", Text),  # null with ended_ms: it expired
)

incident_link = Table(
    "incident_link",
    metadata,
    Column("one", Text, ForeignKey("incident.incident"), primary_key=True),  # of "parent": the parent
    Column("other", Text, ForeignKey("incident.incident"), primary_key=True),
    Column("kind", Text, nullable=False),  # parent | related
)

closure = Table(  # roads that nobody is sent through; one that ended stays, for rankings rest on it
    "closure",
    metadata,
    Column("closure", Text, primary_key=True),  # minted by the client, so that closing twice closes once
    Column("corners", Text, nullable=False),  # JSON list of {lat, lon}, as drawn
    Column(
        "radius_m", Integer, nullable=False
    ),  # 0: the area within the corners; else around the point or along the line
    Column("reason", Text, nullable=False),
    Column("since_ms", Integer, nullable=False),
    Column("by", Text, nullable=False),  # account
    Column("until_ms", Integer),  # null: until somebody opens it
    Column("ended_ms", Integer),  # opened again, or its time was over
    Column("ended_by", Text),  # null with ended_ms: its time was over
)

assignment = Table(
    "assignment",
    metadata,
    Column("assignment", Text, primary_key=True),
    Column("incident", Text, ForeignKey("incident.incident"), nullable=False),
    Column("unit", Text, ForeignKey("unit.unit"), nullable=False),
    Column("device", Text, nullable=False),  # to which it went: facts of that device are about it
    Column("offered_ms", Integer, nullable=False),
    Column("offered_by", Text, nullable=False),
    Column("version_epoch", Integer),  # of the first version of section `assignments` that carried it
    Column("version_n", Integer),
    Column("received_ms", Integer),  # on the terminal: state_held
    Column("acknowledged_ms", Integer),  # by a person
    Column("released_ms", Integer),
    Column("released_by", Text),
    Column("override_reason", Text),  # why not the first candidate
    Column("ranking", Integer),  # from which it was chosen; null: before that was kept
)

route = Table(  # the way to an assignment, as its terminal should hold it; gone with the release
    "route",
    metadata,
    Column("assignment", Text, ForeignKey("assignment.assignment"), primary_key=True),
    Column("n", Integer, nullable=False),  # rises with each new way
    Column("lat", Float, nullable=False),  # of the incident, when it was asked for
    Column("lon", Float, nullable=False),
    Column("closed", Text, nullable=False),  # which roads were closed then, as a digest
    Column("made_ms", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),  # MessagePack of wire.state.Route
)

ranking = Table(  # what was shown and what was chosen, kept so that it can be asked for later
    "ranking",
    metadata,
    Column("ranking", Integer, primary_key=True, autoincrement=True),
    Column("incident", Text, ForeignKey("incident.incident"), nullable=False),
    Column("ranked_ms", Integer, nullable=False),
    Column("ranked_by", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("candidates", Text, nullable=False),  # JSON, in the order shown, with every reason
    Column("chosen", Text),  # the newest; every choice is an assignment that names the ranking
    Column(
        "need", Text
    ),  # as it was then: JSON of hub.rank.Need. From here on null in rows older than the keeping of it
    Column("rules", Text),  # the agency's settings as they were: JSON of hub.rank.Rules
    Column("graph", Text),  # which build of the roads; null when it is by straight line
    Column("book", Integer),  # hub.rank.BOOK: by which rules it was made
    Column("known", LargeBinary),  # zlib of JSON of hub.rankings._Known: crews, positions, ages, ways
)

rest_ended = Table(  # a supervisor lets a crew be sent before it has rested
    "rest_ended",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("unit", Text, ForeignKey("unit.unit"), nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("by", Text, nullable=False),  # account
    Column("reason", Text, nullable=False),
)

act = Table(  # what people at the console did to units, placed among the records so that both can be folded again
    "act",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("after_record", Integer, nullable=False),  # the newest record.id then, 0: none
    Column("at_ms", Integer, nullable=False),
    Column(
        "what", Text, nullable=False
    ),  # of an assignment: offered | released; of an emergency: acknowledged | cleared
    Column("assignment", Text, ForeignKey("assignment.assignment")),
    Column("emergency", LargeBinary),
    Column("by", Text, nullable=False),  # account
    Column("contact", Text),  # of a clearing: with whom there was voice contact
    Column("words", Text),  # and what was said
)

# --- what came from terminals: the truth ------------------------------------------------------------------------------

signer = Table(  # the key and certificate a device signed with, as they were when a record came
    "signer",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of device, public and certificate
    Column("public", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
)

record = Table(
    "record",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),  # the order in which the hub came to hold them
    Column("device", Text, nullable=False),
    Column("log_id", LargeBinary, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),  # as it came
    Column("held_ms", Integer, nullable=False),
    Column("signer", Integer, ForeignKey("signer.id"), nullable=False),
    Column("refused", Text),  # why it may change nothing, judged by the keys and units of that day; null: it may
    UniqueConstraint("device", "log_id", "seq"),
)

alarm = Table(  # emergencies that came ahead of their number in the log, or without one; each kept once
    "alarm",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of data
    Column("data", LargeBinary, nullable=False),  # as it came: a signed Record or a signed Alarm
    Column("held_ms", Integer, nullable=False),
    Column("signer", Integer, ForeignKey("signer.id"), nullable=False),
    Column("after_record", Integer, nullable=False),  # its place among the records and acts, as for an act
    Column("after_act", Integer, nullable=False),
)

log = Table(  # the receipt of each log
    "log",
    metadata,
    Column("device", Text, primary_key=True),
    Column("log_id", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),  # ledger | trail | "" until a birth has said
    Column("through", Integer, nullable=False),
)

gap = Table(  # numbers nobody holds any more, after a restore
    "gap",
    metadata,
    Column("device", Text, primary_key=True),
    Column("log_id", LargeBinary, primary_key=True),
    Column("first", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("noted_ms", Integer, nullable=False),
)

boot = Table(  # the power-ons of each board, so that what an earlier one said cannot be said again
    "boot",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),  # the highest of a device is its current one
    Column("device", Text, nullable=False),
    Column("boot", LargeBinary, nullable=False),
    Column("session", Integer, nullable=False),  # of its newest birth, -1 before the first
    Column("mono_ms", Integer, nullable=False),  # of that birth
    Column("held_ms", Integer, nullable=False),  # when that birth came
    UniqueConstraint("device", "boot"),
)

twin = Table(  # power-ons that speak as a device and are not the board whose log is held: a copied card
    "twin",
    metadata,
    Column("device", Text, primary_key=True),
    Column("boot", LargeBinary, primary_key=True),
    Column("is_stranger", Boolean, nullable=False),  # its log contradicts what is held; false: it only took turns
    Column("why", Text, nullable=False),
    Column("noted_ms", Integer, nullable=False),
    Column("newest_ms", Integer, nullable=False),  # of what came from it since
)

stray = Table(  # what strangers recorded, whole, until a tech decides
    "stray",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),
    Column("log_id", LargeBinary, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("boot", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of data: it is said again and again
    Column("data", LargeBinary, nullable=False),  # as it came
    Column("held_ms", Integer, nullable=False),
    Column("signer", Integer, ForeignKey("signer.id"), nullable=False),
    Column("settled_ms", Integer),  # null: nobody has decided yet
    Column("settled", Text),  # taken | left
)

device_order = Table(  # what devices were told to do, each once
    "device_order",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("device", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("issued_ms", Integer, nullable=False),
    Column("issued_by", Text, nullable=False),
    Column("done_ms", Integer),  # when the answer came
    Column("outcome", Text),
)

quarantine = Table(  # refused or not understood; kept, counted, shown
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),  # whose topic it came on
    Column("topic", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),  # at most 4 kB of it
    Column("held_ms", Integer, nullable=False),
)

# --- projections: rebuilt from `record` and the tables above ----------------------------------------------------------

unit_now = Table(
    "unit_now",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("status_ms", Integer, nullable=False),
    Column("status_by", Text, nullable=False),
    Column("skipped", Boolean, nullable=False),
    Column("assignment", Text),
    Column("crew", Text, nullable=False),  # staff ids aboard, space separated
    Column("shift", LargeBinary),
    Column("log_id", LargeBinary),  # the ledger whose statuses are folded in
    Column("status_through", Integer, nullable=False),
)

status_history = Table(
    "status_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("unit", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("assignment", Text),
    Column("by", Text, nullable=False),
    Column("staff", Text),
    Column("skipped", Boolean, nullable=False),
    Column("noted_ms", Integer),  # the board's clock, null when it had none to believe
    Column("quality", Text, nullable=False),
    Column("held_ms", Integer, nullable=False),
    Column("device", Text),  # whose record it was, and when by that board's own clocks; null: not a board's word
    Column("boot", LargeBinary),
    Column("mono_ms", Integer),
    Column("stamped_ms", Integer),  # what the board's clock said, right or wrong
)

clock_correction = Table(  # what boards learned of their clocks: how to read the times of one power-on anew
    "clock_correction",
    metadata,
    Column("record", Integer, primary_key=True, autoincrement=False),  # record.id
    Column("device", Text, nullable=False),
    Column("boot", LargeBinary, nullable=False),
    Column("mono_ms", Integer, nullable=False),
    Column("wall_before_ms", Integer, nullable=False),
    Column("wall_after_ms", Integer, nullable=False),
    Column("quality", Text, nullable=False),
)

note = Table(  # the shelf: sealed notes and their routing envelope
    "note",
    metadata,
    Column("note_id", LargeBinary, primary_key=True),
    Column("encounter", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("author", Text),
    Column("disposition", Text),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, nullable=False),  # of the signing device, as it was then
    Column("held_ms", Integer, nullable=False),
)

emergency = Table(
    "emergency",
    metadata,
    Column("emergency", LargeBinary, primary_key=True),  # the id its terminal gave it
    Column("device", Text, nullable=False),
    Column("unit", Text),  # as the terminal said; people are shown the unit of the device
    Column("is_drill", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_ms", Integer, nullable=False),
    Column("pressed_ms", Integer),  # the first press by the board's clock, null when it had none to believe
    Column("presses", Integer, nullable=False),
    Column("newest_ms", Integer, nullable=False),  # when the newest press was heard
    Column("staff", Text, nullable=False),  # JSON list of ids, as of the newest press; the next four too
    Column("assignment", Text),
    Column("incident", Text),
    Column("fix", LargeBinary),  # MessagePack of wire.fix.Fix
    Column("fix_age_ms", Integer),
    Column("asked_ms", Integer),  # the crew asks to clear it
    Column("acknowledged_ms", Integer),
    Column("acknowledged_by", Text),
    Column("cleared_ms", Integer),
    Column("cleared_by", Text),
    Column("contact", Text),
    Column("words", Text),
)

press = Table(  # every press that was heard, by its name: told twice it counts once
    "press",
    metadata,
    Column("emergency", LargeBinary, primary_key=True),
    Column("boot", LargeBinary, primary_key=True),
    Column("mono_ms", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("asks_clear", Boolean, nullable=False),
    Column("held_ms", Integer, nullable=False),
)

position_last = Table(  # the newest live position of each unit, for the snapshot after a restart
    "position_last",
    metadata,
    Column("unit", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("fix", LargeBinary),  # MessagePack of wire.fix.Fix, null: there has never been one
    Column("has_fix", Boolean, nullable=False),  # false: the terminal says it has none now; `fix` is the last it had
    Column("arrived_ms", Integer, nullable=False),
    Column("age_ms", Integer, nullable=False),
    Column("boot", LargeBinary, nullable=False),  # with mono_ms: nothing older is believed after a restart
    Column("mono_ms", Integer, nullable=False),
)

# --- the hub's own ----------------------------------------------------------------------------------------------------

desired = Table(  # the version of each section as last computed
    "desired",
    metadata,
    Column("device", Text, primary_key=True),
    Column("section", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),  # the section's MessagePack, unsealed: compared to see a change
    Column("held_epoch", Integer, nullable=False, default=0),
    Column("held_n", Integer, nullable=False, default=0),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", Integer, nullable=False),
    Column("source", Text, nullable=False),  # console | hub | device id
    Column("actor", Text),
    Column("what", Text, nullable=False),
    Column("about", Text),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("chained", LargeBinary),  # over this line and the one before; empty when a release before wrote it
)

hub_fact = Table(  # state epoch, next incident number
    "hub_fact",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)

Index("record_by_kind", record.c.kind, record.c.id)
Index("status_history_by_unit", status_history.c.unit, status_history.c.id)
Index("assignment_by_unit", assignment.c.unit, assignment.c.released_ms)
Index("assignment_by_ranking", assignment.c.ranking)
Index("rest_ended_by_unit", rest_ended.c.unit, rest_ended.c.at_ms)
Index("clock_correction_by_boot", clock_correction.c.device, clock_correction.c.boot, clock_correction.c.mono_ms)
Index("note_by_encounter", note.c.encounter)
Index("act_by_assignment", act.c.assignment)
Index("emergency_by_device", emergency.c.device, emergency.c.cleared_ms)
Index("stray_by_device", stray.c.device, stray.c.settled_ms)
Index("device_order_by_device", device_order.c.device, device_order.c.done_ms)
Index("incident_act_by_incident", incident_act.c.incident, incident_act.c.id)
Index("incident_by_survivor", incident.c.merged_into)
Index("closure_by_end", closure.c.ended_ms)
Index("caution_by_place", caution.c.lat)
Index("caution_by_incident", caution.c.incident)
Index("caution_by_born", caution.c.born)
Index("quarantine_by_device", quarantine.c.device)
