"""A town of a few streets, written as an .osm.pbf by the test that needs one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import osmium
from osmium.osm.mutable import Node, Relation, Way

LAT, LON = 39.96, -83.0  # the corner of High and Broad
STEP_DEG = 0.001  # about a hundred meters to the north

Tags = dict[str, str]


@dataclass
class Town:
    """Nodes and ways by steps of a hundred meters from the main corner: (east, north)."""

    nodes: dict[tuple[float, float], int] = field(default_factory=dict)
    tags: dict[int, Tags] = field(default_factory=dict)
    ways: list[tuple[list[int], Tags]] = field(default_factory=list)
    relations: list[tuple[list[int], Tags]] = field(default_factory=list)

    def node(self, east: float, north: float, tags: Tags | None = None) -> int:
        """A node; the same point is the same node."""
        id_ = self.nodes.setdefault((east, north), len(self.nodes) + 1)
        self.tags.setdefault(id_, {}).update(tags or {})
        return id_

    def way(self, points: list[tuple[float, float]], tags: Tags) -> int:
        """A way, and its number."""
        self.ways.append(([self.node(*point) for point in points], tags))
        return len(self.ways)

    def street(self, points: list[tuple[float, float]], name: str, **tags: str) -> None:
        """A street."""
        self.way(points, {"highway": "residential", "name": name, **tags})

    def house(self, east: float, north: float, number: str, street: str, **tags: str) -> None:
        """A house, as a node."""
        self.node(east, north, {"addr:housenumber": number, "addr:street": street, **tags})

    def building(self, east: float, north: float, tags: Tags) -> int:
        """A house, as a ring twenty meters wide around its middle."""
        corners = [(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1), (-0.1, -0.1)]
        return self.way([(east + x, north + y) for x, y in corners], {"building": "yes", **tags})

    def write(self, path: Path) -> Path:
        """The town as a sorted file."""
        header = osmium.io.Header()
        header.set("sorting", "Type_then_ID")
        with osmium.SimpleWriter(str(path), header=header, overwrite=True) as out:
            for (east, north), id_ in self.nodes.items():
                lat, lon = at(east, north)
                out.add_node(Node(id=id_, version=1, location=(lon, lat), tags=self.tags[id_]))
            for id_, (refs, tags) in enumerate(self.ways, 1):
                out.add_way(Way(id=id_, version=1, nodes=refs, tags=tags))
            for id_, (ways, tags) in enumerate(self.relations, 1):
                members = [("w", way, "outer") for way in ways]
                out.add_relation(Relation(id=id_, version=1, members=members, tags=tags))
        return path


def at(east: float, north: float) -> tuple[float, float]:
    """(lat, lon) of a point of the town."""
    return LAT + north * STEP_DEG, LON + east * STEP_DEG * 1.3


def usual() -> Town:
    """Streets that meet, numbers of every kind, a few names."""
    town = Town()
    town.node(0.3, 0.3, {"place": "city", "name": "Alder Ford"})
    town.node(0.5, 2.5, {"place": "neighbourhood", "name": "Short North"})
    town.street([(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)], "North High Street", ref="US 23")
    town.street([(0, 0), (0, -1), (0, -2)], "South High Street")
    town.street([(0, 0), (1, 0), (2, 0), (3, 0)], "East Broad Street")
    town.street([(0, 2), (1, 2), (2, 2)], "Fifth Avenue")
    town.street([(1, 0), (1, 1), (1, 2)], "Peña Boulevard")
    town.street([(2, 0), (2, 1), (2, 2)], "Highland Street")
    town.street([(0, 3), (1, 3)], "Lane Avenue")
    town.street([(0, 4), (1, 4)], "Mc Cutcheon Road")
    town.street([(5, 5), (6, 5)], "Mill Road")
    town.street([(5, 95), (6, 95)], "Mill Road")
    town.way([(-5, -9), (-5, 9)], {"highway": "motorway", "ref": "I 270"})
    town.house(0.2, 1.2, "120", "N High St")
    town.house(0.2, 1.6, "128", "North High Street")
    town.house(-0.2, 1.2, "121;123", "North High Street")
    town.house(0.2, -1.2, "120", "South High Street")
    town.building(0.2, 2.6, {"addr:housenumber": "240-244", "addr:street": "North High Street"})
    town.house(2.2, 1.2, "77", "Highland Street")
    town.house(1.2, 1.5, "12 1/2", "Peña Blvd.")
    town.house(5.5, 5.2, "7", "Mill Road")
    town.house(5.5, 95.2, "7", "Mill Road")
    town.house(2.5, 0.2, "9", "")
    first, last = town.node(1.8, 0.3, {"addr:housenumber": "300"}), town.node(3.2, 0.3, {"addr:housenumber": "308"})
    town.ways.append(([first, last], {"addr:interpolation": "even", "addr:street": "East Broad Street"}))
    town.building(2.5, -1, {"amenity": "hospital", "name": "St. Brigid Medical Center"})
    town.node(2.5, -1.05, {"amenity": "hospital", "name": "St. Brigid Medical Center"})
    town.building(1.5, -3, {"amenity": "school", "name": "Eastfield High School"})
    town.node(0.5, -3, {"railway": "station", "name": "Central Station"})
    town.node(3.5, -3, {"amenity": "social_facility", "name": "Harbor House"})
    town.node(-2, -0.6, {"amenity": "restaurant", "name": "Mill 7 Diner"})
    town.node(4.5, -3, {"amenity": "shelter", "shelter_type": "public_transport", "name": "Bus Stop 5"})
    park = town.way([(7, 0), (9, 0), (9, 2), (7, 2), (7, 0)], {})
    town.relations.append(([park], {"type": "multipolygon", "leisure": "park", "name": "Founders Park"}))
    return town
