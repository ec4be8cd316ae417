import { describeEngines } from './support/contract.ts'

describeEngines('better-sqlite3', 'node:sqlite')
