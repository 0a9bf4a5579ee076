// What the server tells the page, in <script type="application/json" id="page-data">.

export interface Ask {
  id: string
  text: string
  arrived: boolean
}

export interface PageData {
  /** Language of the strings, such as `de`. */
  lang: string
  link: {
    /** Not secret. Names what this browser remembers. */
    id: string
    /** The link's path with a slash at its end, such as `/u/TOKEN/` or `/u/-/`. */
    path: string
    rights: string[]
    expires_at: string | null
  }
  partner: string
  /** Null if each file must name its ticket. */
  ticket: string | null
  limits: {
    max_size: number
    ticket_attachment_size: number
    resume_window_seconds: number
  }
  asks: Ask[]
  assets: {
    /** Strings of `lang`. */
    locale: string
    worker: string
  }
}

export function readPageData(): PageData | null {
  const text = document.getElementById('page-data')?.textContent
  return text ? (JSON.parse(text) as PageData) : null
}
