"""Four plain words that two people read to each other, to see that both screens mean the same key.

Four words of 256 are 32 bits: a hub that wants to pass off its own key could try keys until the words agree. So the
digest is stretched first, and each such try costs a third of a second and 64 MiB; four thousand million of them are
forty years of a processor. Whoever shows the words computes them once.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_TEXT = """
acorn actor album amber ankle apple april apron arrow aunt autumn bacon badge baker bamboo banjo barn basket beach
beaver bell bench berry bird bishop blanket boat bonus book bottle branch bread brick bridge broom brush bucket butter
button cabin cactus camel candle canyon carpet carrot castle cedar cellar chair cherry chess circle citrus clock cloud
clover coffee comet copper corner cotton cousin crayon cricket crystal curtain daisy dancer denim desert diamond
dinner doctor dolphin donkey dragon drum eagle earth echo elbow engine evening fabric falcon family farmer feather
fence ferry fiddle finger forest fossil fountain fox galaxy garden garlic ginger giraffe glacier glove goose grape
guitar hammer harbor harvest hazel helmet hermit hill honey horse hotel igloo indigo insect iron island ivory jacket
jaguar jelly jigsaw jungle kayak kettle kitchen kitten ladder lagoon lantern laptop lemon letter lilac lion lizard
lobster locker magnet mango maple marble market meadow melon mirror mitten monkey morning mother motor muffin museum
mustard napkin nephew nickel noodle nutmeg oasis ocean olive onion orange orbit otter oven oyster paddle palace panda
paper parrot peach pebble pencil pepper piano picnic pigeon pillow pilot pirate planet pocket pony potato prairie
puzzle quilt rabbit radio rainbow raven ribbon river robin rocket rooster rubber saddle salmon sandal scarf school
season shadow shelter shovel silver sister sofa spider spoon squirrel stable station sugar summer sunset table tailor
teapot temple thumb ticket tiger tomato tractor trumpet tulip tunnel turtle uncle valley velvet village violin waffle
wagon walnut water whistle willow window winter wizard yellow yogurt zebra zipper
"""
WORDS = tuple(_TEXT.split())

_SALT = b"tandem-words-v1\0"  # the same for everybody: both sides must arrive at the same words


def four_words(digest: bytes) -> tuple[str, str, str, str]:
    """The words for `digest`, the SHA-256 of a public key's DER."""
    a, b, c, d = Argon2id(salt=_SALT, length=4, iterations=3, lanes=1, memory_cost=65536).derive(digest)
    return WORDS[a], WORDS[b], WORDS[c], WORDS[d]
