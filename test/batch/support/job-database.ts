import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { withRetry } from '../../../src/shared/retry.ts'
import { services } from '../../support/services.ts'
import { createJobTables, type JobDialect, type JobTables, openJobDatabase } from './job-databases.ts'

export const jobDialects: readonly { readonly dialect: JobDialect; readonly missing: boolean }[] = [
  { dialect: 'sqlite', missing: false },
  { dialect: 'postgres', missing: services.postgres === undefined },
  { dialect: 'mariadb', missing: services.mariadb === undefined },
  { dialect: 'mysql', missing: services.mysql === undefined },
]

export interface JobDatabase {
  readonly db: Kysely<JobTables>
  readonly address: string
  drop(): Promise<void>
}

/** A new database with the tables of a job. */
export async function createJobDatabase(dialect: JobDialect): Promise<JobDatabase> {
  if (dialect === 'sqlite') {
    const folder = mkdtempSync(join(tmpdir(), 'posthaste-job-'))
    const address = join(folder, 'job.db')
    const db = await openJobDatabase(dialect, address)
    await createJobTables(db)
    return {
      db,
      address,
      async drop() {
        await db.destroy()
        rmSync(folder, { recursive: true })
      },
    }
  }
  const url = services[dialect] as string
  const name = `posthaste_job_${randomBytes(4).toString('hex')}`
  const address = new URL(url)
  address.pathname = `/${name}`
  const admin = await openJobDatabase(dialect, url)
  await sql`create database ${sql.id(name)}`.execute(admin)
  const db = await openJobDatabase(dialect, address.href)
  await createJobTables(db)
  return {
    db,
    address: address.href,
    async drop() {
      await db.destroy()
      // PostgreSQL refuses until it has seen that the last client is gone.
      await withRetry(() => sql`drop database ${sql.id(name)}`.execute(admin), { retries: 30 })
      await admin.destroy()
    },
  }
}
