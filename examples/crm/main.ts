import { existsSync } from 'node:fs'
import { loadEnvFile } from 'node:process'
import { createCrm } from './crm.ts'

if (existsSync('.env')) loadEnvFile('.env')

const port = Number(process.env.PORT ?? 8000)
const { app, close } = await createCrm()
const server = app.listen(port, () => {
  const url = `http://localhost:${port}`
  console.log(`The CRM answers. Try:

  ${url}/users/?page=2&per_page=20&active_only=true&role=admin
  ${url}/users/5
  ${url}/performance/stats
  ${url}/health

Ctrl-C stops it.`)
})
server.on('error', (error: NodeJS.ErrnoException) => {
  console.error(error.code === 'EADDRINUSE' ? `Port ${port} is taken: choose another with PORT.` : error.message)
  process.exit(1)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close()
    server.closeAllConnections()
    await close()
    process.exit(0)
  })
}
