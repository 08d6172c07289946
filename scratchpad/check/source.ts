/** Reading TypeScript for the checks: a real parser, because neither imports nor comments can be found by pattern. */
import { type ESTree, Visitor } from "rolldown/utils"

export interface ImportSite {
  readonly source: ESTree.StringLiteral
  /** Imported names; `"*"` for a namespace, a side effect or an `import()`. */
  readonly names: ReadonlyArray<string>
}

export const nameOf = (name: ESTree.ModuleExportName): string => (name.type === "Literal" ? name.value : name.name)

/** Every place that names another module: imports, re-exports, `import()` of values and of types. */
export const importSites = (program: ESTree.Program): ReadonlyArray<ImportSite> => {
  const sites: Array<ImportSite> = []
  new Visitor({
    ImportDeclaration: ({ source, specifiers }) => {
      const names = specifiers.map((specifier) =>
        specifier.type === "ImportSpecifier"
          ? nameOf(specifier.imported)
          : specifier.type === "ImportDefaultSpecifier"
            ? "default"
            : "*"
      )
      sites.push({ source, names: names.length === 0 ? ["*"] : names })
    },
    ExportAllDeclaration: ({ source }) => {
      sites.push({ source, names: ["*"] })
    },
    ExportNamedDeclaration: ({ source, specifiers }) => {
      if (source !== null) sites.push({ source, names: specifiers.map((specifier) => nameOf(specifier.local)) })
    },
    TSImportType: ({ qualifier, source }) => {
      let first = qualifier
      while (first?.type === "TSQualifiedName") first = first.left
      sites.push({ source, names: [first === null ? "*" : first.name] })
    },
    ImportExpression: ({ source }) => {
      if (source.type === "Literal" && typeof source.value === "string") sites.push({ source, names: ["*"] })
    }
  }).visit(program)
  return sites
}

/** One-based line of an offset. */
export const makeLineAt = (text: string): ((offset: number) => number) => {
  const starts = [0]
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1)
  return (offset) => starts.findLastIndex((start) => start <= offset) + 1
}
