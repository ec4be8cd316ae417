import { existsSync } from 'node:fs'
import { loadEnvFile } from 'node:process'
import { createCrm } from './crm.ts'

if (existsSync('.env')) loadEnvFile('.env')

const port = Number(process.env.PORT ?? 8000)
try {
  await start()
} catch (error) {
  fail(error as Error)
}

async function start(): Promise<void> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new TypeError('Expected PORT to be a port')
  const { app, close } = await createCrm()
  const server = app.listen(port, (error) => {
    if (error !== undefined) fail(error)
    console.log(welcome)
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      server.close()
      server.closeAllConnections()
      await close()
      process.exit(0)
    })
  }
}

const url = `http://localhost:${port}`
const welcome = `The CRM answers. Try:

  ${url}/users/?page=2&per_page=20&active_only=true&role=admin
  ${url}/users/5
  ${url}/performance/stats
  ${url}/health

Ctrl-C stops it.`

function fail({ code, message }: NodeJS.ErrnoException): never {
  console.error(code === 'EADDRINUSE' ? `Port ${port} is taken: choose another with PORT.` : message)
  process.exit(1)
}
