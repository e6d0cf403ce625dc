-- What of OpenStreetMap a dispatcher needs, as vector tile layers. hub/web/src/mapstyle.ts draws exactly these:
--
--   place                class, name                                point
--   landcover            class: park grass wood sand campus airfield area, name
--   water                class: river lake                          area
--   waterway             class: river stream, name                  line
--   transportation       class (ROADS below, rail, runway), link, oneway, brunnel: bridge tunnel
--   transportation_name  class, name, ref                           line
--   building             nothing                                    area
--   housenumber          number                                     point
--   poi                  class: hospital police fire_station clinic shelter school, name

ROADS = {                        -- OpenStreetMap's highway → our class, first zoom of the line, first zoom of the name
	motorway      = { "motorway",  8, 10 },
	motorway_link = { "motorway", 11, 15 },
	trunk         = { "trunk",     8, 10 },
	trunk_link    = { "trunk",    11, 15 },
	primary       = { "primary",   9, 11 },
	primary_link  = { "primary",  12, 15 },
	secondary     = { "secondary", 10, 12 },
	secondary_link = { "secondary", 12, 15 },
	tertiary      = { "tertiary", 11, 13 },
	tertiary_link = { "tertiary", 13, 15 },
	residential   = { "minor",    12, 14 },
	unclassified  = { "minor",    12, 14 },
	living_street = { "minor",    12, 14 },
	road          = { "minor",    12, 14 },
	service       = { "service",  14, 15 },
	pedestrian    = { "path",     13, 14 },
	footway       = { "path",     14, 15 },
	cycleway      = { "path",     14, 15 },
	path          = { "path",     14, 15 },
	track         = { "path",     14, 15 },
	steps         = { "path",     14, 15 },
}
NAME_NEVER = 15                  -- beyond the last zoom: such names only clutter

GREEN = {                        -- "key=value" → class
	["leisure=park"] = "park", ["leisure=garden"] = "park", ["leisure=nature_reserve"] = "park",
	["leisure=playground"] = "park", ["leisure=golf_course"] = "grass", ["leisure=pitch"] = "grass",
	["landuse=grass"] = "grass", ["landuse=meadow"] = "grass", ["landuse=recreation_ground"] = "park",
	["landuse=cemetery"] = "grass", ["landuse=village_green"] = "park",
	["landuse=forest"] = "wood", ["natural=wood"] = "wood", ["natural=scrub"] = "wood",
	["natural=grassland"] = "grass", ["natural=beach"] = "sand",
	["amenity=university"] = "campus", ["amenity=college"] = "campus",
	["aeroway=aerodrome"] = "airfield",
}
GREEN_KEYS = { "leisure", "landuse", "natural", "amenity", "aeroway" }

CARE = {                         -- amenity → class, first zoom
	hospital      = { "hospital",     11 },
	police        = { "police",       12 },
	fire_station  = { "fire_station", 12 },
	clinic        = { "clinic",       13 },
	doctors       = { "clinic",       14 },
	shelter       = { "shelter",      13 },
	social_facility = { "shelter",    13 },
	school        = { "school",       13 },
	college       = { "school",       13 },
	university    = { "school",       12 },
}

PLACES = { city = 8, town = 8, village = 10, suburb = 11, hamlet = 12, quarter = 12, neighbourhood = 13 }

BUILDING_M2_MAX = 500000         -- the largest halls on Earth are a little smaller; what is larger is a slip of a mapper

node_keys = { "amenity", "place", "addr:housenumber", "healthcare" }

function init_function() end
function exit_function() end

-- The kind of care place an object is, or nil. A bus shelter keeps out the rain and is nobody's bed for the night.
function care_of(object)
	local amenity = object:Find("amenity")
	if amenity == "shelter" and object:Find("shelter_type") ~= "" then return nil end
	if amenity == "" and object:Find("healthcare") ~= "" then amenity = object:Find("healthcare") end
	return CARE[amenity]
end

function describe_poi(object, care)
	object:Attribute("class", care[1])
	object:Attribute("name", object:Find("name"))
	object:MinZoom(care[2])
end

function node_function(node)
	local zoom = PLACES[node:Find("place")]
	local name = node:Find("name")
	if zoom and name ~= "" then
		node:Layer("place", false)
		node:Attribute("class", node:Find("place"))
		node:Attribute("name", name)
		node:MinZoom(zoom)
	end
	local care = care_of(node)
	if care and name ~= "" then
		node:Layer("poi", false)
		describe_poi(node, care)
	end
	local number = node:Find("addr:housenumber")
	if number ~= "" then
		node:Layer("housenumber", false)
		node:Attribute("number", number)
	end
end

function draw_road(way, road)
	local brunnel = ""
	if way:Find("bridge") ~= "" and way:Find("bridge") ~= "no" then brunnel = "bridge" end
	if way:Find("tunnel") ~= "" and way:Find("tunnel") ~= "no" then brunnel = "tunnel" end
	way:Layer("transportation", false)
	way:Attribute("class", road[1])
	if brunnel ~= "" then way:Attribute("brunnel", brunnel) end
	if way:Find("highway"):sub(-5) == "_link" then way:AttributeNumeric("link", 1) end
	if way:Find("oneway") == "yes" then way:AttributeNumeric("oneway", 1) end
	way:MinZoom(road[2])
	way:ZOrder(tonumber(way:Find("layer")) or 0)
	local name, ref = way:Find("name"), way:Find("ref")
	if road[3] == NAME_NEVER or (name == "" and ref == "") then return end
	way:Layer("transportation_name", false)
	way:Attribute("class", road[1])
	if name ~= "" then way:Attribute("name", name) end
	if ref ~= "" then way:Attribute("ref", (ref:gsub(";%s*", " / "))) end
	way:MinZoom(road[3])
end

function draw_line(way, class, zoom)
	way:Layer("transportation", false)
	way:Attribute("class", class)
	way:MinZoom(zoom)
end

function green_of(way)
	for _, key in ipairs(GREEN_KEYS) do
		local class = GREEN[key .. "=" .. way:Find(key)]
		if class then return class end
	end
end

-- Small ponds and lawns appear when they would cover about twelve pixels.
function zoom_of_area(way)
	local area = way:Area()
	if area > 4000000 then return 8 end
	if area > 1000000 then return 10 end
	if area > 250000 then return 11 end
	if area > 60000 then return 12 end
	return 13
end

function draw_area(way, layer, class)
	way:Layer(layer, true)
	way:Attribute("class", class)
	way:MinZoom(zoom_of_area(way))
end

function draw_water(way)
	local natural, waterway = way:Find("natural"), way:Find("waterway")
	if waterway == "riverbank" or (natural == "water" and way:Find("water") == "river") then
		draw_area(way, "water", "river")
	elseif natural == "water" or way:Find("landuse") == "reservoir" then
		draw_area(way, "water", "lake")
	elseif waterway == "river" or waterway == "canal" then
		way:Layer("waterway", false)
		way:Attribute("class", "river")
		if way:Find("name") ~= "" then way:Attribute("name", way:Find("name")) end
		way:MinZoom(8)
	elseif waterway == "stream" then
		way:Layer("waterway", false)
		way:Attribute("class", "stream")
		if way:Find("name") ~= "" then way:Attribute("name", way:Find("name")) end
		way:MinZoom(12)
	end
end

function way_function(way)
	local is_area = way:IsClosed()
	local road = ROADS[way:Find("highway")]
	if road and way:Find("area") ~= "yes" then draw_road(way, road) end
	if way:Find("railway") == "rail" and way:Find("service") == "" then draw_line(way, "rail", 11) end
	if way:Find("aeroway") == "runway" and not is_area then draw_line(way, "runway", 11) end
	draw_water(way)
	if not is_area then return end
	local class = green_of(way)
	if class then draw_area(way, "landcover", class) end
	-- Columbus 2015 has one tower drawn over half of downtown and the river
	if way:Find("building") ~= "" and way:Find("building") ~= "no" and way:Area() < BUILDING_M2_MAX then
		way:Layer("building", true)
		way:MinZoom(13)
	end
	local care = care_of(way)
	if care and way:Find("name") ~= "" then
		way:LayerAsCentroid("poi")
		describe_poi(way, care)
	end
	if way:Find("addr:housenumber") ~= "" then
		way:LayerAsCentroid("housenumber")
		way:Attribute("number", way:Find("addr:housenumber"))
	end
end
